"""plusx explain: a network's numbers and names, in words."""

from __future__ import annotations

import argparse

from plusx.analysis import analyse
from plusx.cli.languages import add_language, language
from plusx.cli.networks import add_network, read_network, read_size
from plusx.cli.output import add_output, choose_format, emit, screen_width
from plusx.files import json_text
from plusx.i18n import _, translator
from plusx.text.alignment import paragraph
from plusx.text.network_explanation import Topic, explain_network
from plusx.text.network_table import title
from plusx.text.part_explanation import explain_part

FORMATS = ("text", "markdown", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("--op", metavar="NAME", help=_("one stage, block or op: layer2, layer2.0, layer2.0.conv2"))
    parser.add_argument("--size", metavar="N|HxW", help=_("input in pixels (default: the preset's)"))
    parser.add_argument("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else text"))
    add_output(parser)
    add_language(parser)


def run(args: argparse.Namespace) -> int:
    form, say = choose_format(args.format, args.output, FORMATS), translator(language(args.lang))
    analysis = analyse(read_network(args.network, args.key), read_size(args.size))
    topics = explain_part(analysis, args.op) if args.op else explain_network(analysis)
    topics = [Topic(say(topic.title), [say(line) for line in topic.lines]) for topic in topics]
    if form == "json":
        record = {
            "schema": "plusx.explain/1",
            "spec": str(analysis.graph.spec),
            "input": [analysis.graph.spec.in_channels, *analysis.size_px],
            "op": args.op,
            "sections": [topic._asdict() for topic in topics],
        }
        return emit(json_text(record, 1) + "\n", args.output)
    head = say(title(analysis))
    if form == "markdown":
        parts = [
            f"# {head}",
            *(f"## {topic.title}\n\n" + "\n".join(f"- {line}" for line in topic.lines) for topic in topics),
        ]
    else:
        parts = [head, *(_as_text(topic, screen_width(args.output)) for topic in topics)]
    return emit("\n\n".join(parts) + "\n", args.output)


def _as_text(topic: Topic, width: int | None) -> str:
    lines = [line for text in topic.lines for line in paragraph(text, width, "    ", "  ")]
    return "\n".join([topic.title, *lines])
