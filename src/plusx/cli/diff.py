"""plusx diff: what changes between two networks; with --fail-if a gate for continuous integration."""

from __future__ import annotations

import argparse
from pathlib import Path

from plusx.analysis.conditions import check, read_condition
from plusx.analysis.diff import diff
from plusx.cli.languages import add_language, language
from plusx.cli.networks import add_key, read_network, read_size
from plusx.cli.output import add_output, choose_format, emit, screen_width
from plusx.errors import SpecError
from plusx.files import json_text
from plusx.i18n import _, translator
from plusx.specs import ResNetSpec
from plusx.text.diff_table import diff_record, diff_table

FORMATS = ("table", "markdown", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = _('two networks; quote each that has more than one word: plusx diff "resnet50 stem=deep" resnet50')
    parser.add_argument("networks", nargs="+", metavar="NETWORK", help=text)
    parser.add_argument("--size", metavar="N|HxW", help=_("input in pixels (default: the first's preset's)"))
    parser.add_argument("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else table"))
    example = _("exit 1 if this holds, like macs>+1%% or params>0; may be repeated")
    parser.add_argument("--fail-if", action="append", default=[], metavar="CONDITION", help=example)
    add_key(parser)
    add_output(parser)
    add_language(parser)


def run(args: argparse.Namespace) -> int:
    form, lang = choose_format(args.format, args.output, FORMATS), language(args.lang)
    conditions = [read_condition(text) for text in args.fail_if]
    before, after = (_read(words, args.key) for words in split(args.networks))
    found = diff(before, after, read_size(args.size))
    if form == "json":
        emit(json_text(diff_record(found), 1) + "\n", args.output)
    else:
        width = screen_width(args.output)
        emit(diff_table(found, translator(lang), markdown=form == "markdown", width=width), args.output)
    check(found, conditions)
    return 0


def _read(words: list[str], key: str | None) -> ResNetSpec:
    """A network; --key is for those of the two that are weights files."""
    return read_network(words, key if Path(words[0]).is_file() else None)


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Two networks from the words of a command line: two words, or the second begins at its preset. Raises SpecError."""
    starts = [place for place, word in enumerate(words) if "=" not in word.split(" ", 1)[0]]
    blank = any(not word.strip() for word in words)
    if len(words) == 2 and not blank:
        cut = 1
    elif len(starts) == 2 and starts[0] == 0 and not blank:
        cut = starts[1]
    else:
        raise SpecError(
            _(
                'plusx diff takes two networks, not {n} words. Quote each network: plusx diff "resnet50 stem=deep" resnet50',
                n=len(words),
            )
        )
    return _words(words[:cut]), _words(words[cut:])


def _words(words: list[str]) -> list[str]:
    return words if Path(words[0]).exists() else " ".join(words).split()
