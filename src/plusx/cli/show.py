"""plusx show: a network as a table, or as data."""

from __future__ import annotations

import argparse

from plusx.analysis import analyse
from plusx.cli.languages import add_language, language
from plusx.cli.networks import add_network, read_network, read_size
from plusx.cli.output import add_output, choose, choose_format, emit, screen_width
from plusx.errors import SpecError
from plusx.i18n import _, translator
from plusx.text.entries import DETAILS
from plusx.version import __version__

FORMATS = ("table", "markdown", "json", "csv", "torch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("--size", metavar="N|HxW", help=_("input in pixels (default: the preset's)"))
    parser.add_argument(
        "--detail", metavar="|".join(DETAILS), help=_("what one row stands for (default: blocks; ops for json and csv)")
    )
    parser.add_argument(
        "--format",
        metavar="|".join(FORMATS),
        help=_("default: by the ending of FILE, else table; torch: as print(net)"),
    )
    add_output(parser)
    add_language(parser)


def run(args: argparse.Namespace) -> int:
    form = choose_format(args.format, args.output, FORMATS)
    lang = language(args.lang)
    spec = read_network(args.network)
    if form == "torch":
        if args.detail or args.size:
            option = "--detail" if args.detail else "--size"
            raise SpecError(_("--format torch prints every module and no sizes. Remove {option}.", option=option))
        from plusx.text.torch_print import torch_print

        return emit(torch_print(spec) + "\n", args.output)
    detail = choose(_("detail"), args.detail or ("ops" if form in ("json", "csv") else "blocks"), DETAILS)
    analysis = analyse(spec, read_size(args.size))
    if form in ("json", "csv"):
        from plusx.text.network_records import to_csv, to_json

        text = to_json(analysis, detail, version=__version__) if form == "json" else to_csv(analysis, detail)
        return emit(text, args.output)
    from plusx.text.network_table import markdown, table

    if form == "markdown":
        return emit(markdown(analysis, detail, translator(lang)), args.output)
    return emit(table(analysis, detail, translator(lang), width=screen_width(args.output)), args.output)
