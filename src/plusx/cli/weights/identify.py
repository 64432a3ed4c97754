"""plusx weights identify: the networks in weights files. torch is not imported."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from plusx.cli.networks import add_key
from plusx.cli.output import add_output, choose_format, emit
from plusx.cli.printing import localized, warn
from plusx.errors import PlusxError, WeightsError
from plusx.files import json_text
from plusx.i18n import _

if TYPE_CHECKING:
    from plusx.weights import Identification

FORMATS = ("table", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help=_("weights files of any family"))
    add_key(parser)
    parser.add_argument("--format", metavar="|".join(FORMATS), help=_("default: by the ending of FILE, else table"))
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is known of each file; of several, one that is refused is a line on stderr, and the others are printed."""
    form = choose_format(args.format, args.output, FORMATS)
    from plusx.weights import identify

    if len(args.files) == 1:
        return emit(_text([identify(args.files[0], args.key)], form, one=True), args.output)
    found: list[Identification] = []
    for file in args.files:
        try:
            found.append(identify(file, args.key))
        except PlusxError as error:
            warn(error.message)
    if found:
        emit(_text(found, form, one=False), args.output)
    if len(found) < len(args.files):
        n, refused = len(args.files), len(args.files) - len(found)
        raise WeightsError(
            _("{refused} of {n} files could not be identified. The lines above say why.", refused=refused, n=n)
        )
    return 0


def _text(found: list[Identification], form: str, *, one: bool) -> str:
    from plusx.weights import lines, to_dict

    if form == "json":
        records = [to_dict(each) for each in found]
        return json_text(records[0] if one else records, 1) + "\n"
    return "\n".join("".join(f"{localized(line)}\n" for line in lines(each)) for each in found)
