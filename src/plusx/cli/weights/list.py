"""plusx weights list: the pretrained weights that plusx knows by name."""

from __future__ import annotations

import argparse
import json
from typing import Any

from plusx.cli.output import add_output, choose_format, emit, screen_width
from plusx.cli.printing import localized
from plusx.i18n import _
from plusx.text.alignment import fitted, hidden_note, paragraph
from plusx.weights.hub.entries import ENTRIES
from plusx.weights.hub.entry import Entry

FORMATS = ("table", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else table"))
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    form = choose_format(args.format, args.output, FORMATS)
    if form == "json":
        return emit(json.dumps([_record(entry) for entry in ENTRIES.values()], indent=1) + "\n", args.output)
    return emit(table(screen_width(args.output)), args.output)


def table(width: int | None) -> str:
    """Name, network, accuracy, size, licence and frozen features of each, and how a name is used."""
    rows = [[localized(cell) for cell in cells(entry)] for entry in ENTRIES.values()]
    heads = [localized(head) for head in HEADS]
    made = fitted(heads, rows, RIGHT, width, drop=(6, 1), wrap=(6,))
    use = _(
        "Use a name wherever a weights file goes: plusx predict torchvision/resnet50 photos/, or plusx train resnet50 --weights imagenet "
        "--data photos/. Frozen: whether a linear classifier on the features of the frozen network works well on other images."
    )
    texts = [*hidden_note(heads, made.hidden), use]
    return "\n".join([*made.lines, "", *(line for text in texts for line in paragraph(localized(text), width))]) + "\n"


def cells(entry: Entry) -> tuple[str, ...]:
    """The cells below HEADS; what is not known is a dash."""
    return (
        entry.name,
        entry.words or "-",
        "-" if entry.top1 is None else f"{entry.top1:.2f}",
        "-" if entry.mib is None else f"{entry.mib:.0f}",
        entry.licence,
        VERDICTS[entry.frozen.verdict],
        entry.frozen.why,
    )


HEADS = (_("name"), _("network"), _("top-1 %"), _("MiB"), _("licence"), _("frozen"), _("why"))
RIGHT = (False, False, True, True, False, False, False)
VERDICTS = {"good": _("good"), "poor": _("poor"), "unknown": _("unknown")}


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "network": entry.words or None,
        "refuses": entry.refuses,
        "urls": [file.url for file in entry.files],
        "hash": None if entry.digest is None else {"kind": entry.digest.kind, "start": entry.digest.start},
        "licence": entry.licence,
        "preprocessing": entry.preprocessing.to_dict(),
        "top1": entry.top1,
        "mib": entry.mib,
        "frozen": {"verdict": entry.frozen.verdict, "why": entry.frozen.why},
        "labels": entry.labels or None,
        "source": entry.source,
    }
