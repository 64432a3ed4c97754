"""plusx draw: a network, or two side by side, as SVG, PNG, PDF or HTML."""

from __future__ import annotations

import argparse
import shlex
import sys

from plusx.cli.languages import language
from plusx.cli.networks import add_network, read_network, read_size
from plusx.cli.output import add_output, choose_format, is_stdout, write_whole, wrote
from plusx.errors import SpecError
from plusx.i18n import _, bytes_text, translate
from plusx.reports.network_page import html
from plusx.svg.fonts import is_cjk
from plusx.svg.render import DETAILS, draw
from plusx.svg.theme import THEMES

FORMATS = ("svg", "png", "pdf", "html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("--size", metavar="N|HxW", help=_("input in pixels (default: the preset's)"))
    parser.add_argument(
        "--detail", default="blocks", metavar="|".join(DETAILS), help=_("what one box stands for (default: blocks)")
    )
    parser.add_argument("--theme", default="light", metavar="|".join(THEMES), help=_("colours (default: light)"))
    parser.add_argument(
        "--diff", metavar='"NETWORK"', help=_("another network, drawn beside this one with the differences marked")
    )
    parser.add_argument("--unfold", action="store_true", help=_("draw equal blocks one by one instead of n×"))
    parser.add_argument(
        "--format",
        metavar="|".join(FORMATS),
        help=_("default: by the ending of FILE, else svg; png and pdf need plusx[draw]"),
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    form = choose_format(args.format, args.output, FORMATS)
    lang = language(args.lang)
    network, size = read_network(args.network), read_size(args.size)
    diff = None if args.diff is None else read_network(_words(args.diff))
    make = html if form == "html" else draw

    def made(lang: str) -> str:
        return make(
            network, detail=args.detail, theme=args.theme, diff=diff, lang=lang, size_px=size, fold=not args.unfold
        )

    text = made(lang)
    if form in ("svg", "html"):
        return _write(text.encode(), args.output)
    from plusx.svg.convert import converted, draws_chinese, missing_font

    if is_cjk(text) and not draws_chinese():
        print(f"plusx: {translate(missing_font(form), lang)}", file=sys.stderr)
        text = made("en")
    return _write(converted(text, form), args.output)


def _words(text: str) -> list[str]:
    words = [word for word in shlex.split(text) if word]
    if not words:
        raise SpecError(_('--diff "" names no network. Write one like --diff "resnet18 gate=se".'))
    return words


def _write(data: bytes, output: str | None) -> int:
    if not is_stdout(output):
        write_whole(str(output), data)
        wrote(str(output), bytes_text(len(data)))
        return 0
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    return 0
