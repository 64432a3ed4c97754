"""plusx geometry: how the cells of each stage lie on the image."""

from __future__ import annotations

import argparse

from plusx.analysis import analyse
from plusx.cli.languages import add_language, language
from plusx.cli.networks import add_network, read_network, read_size
from plusx.cli.output import add_output, choose_format, emit, screen_width
from plusx.files import json_text
from plusx.i18n import _, translator
from plusx.text.geometry_table import geometry_record, geometry_table

FORMATS = ("table", "markdown", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("--size", metavar="N|HxW", help=_("input in pixels (default: the preset's)"))
    parser.add_argument("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else table"))
    add_output(parser)
    add_language(parser)


def run(args: argparse.Namespace) -> int:
    form, lang = choose_format(args.format, args.output, FORMATS), language(args.lang)
    analysis = analyse(read_network(args.network, args.key), read_size(args.size))
    if form == "json":
        return emit(json_text(geometry_record(analysis), 1) + "\n", args.output)
    width = screen_width(args.output)
    return emit(geometry_table(analysis, translator(lang), markdown=form == "markdown", width=width), args.output)
