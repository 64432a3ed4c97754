"""plusx weights verify: whether two files compute the same. Exit code 1 where they do not."""

from __future__ import annotations

import argparse

from plusx.cli.printing import say
from plusx.errors import GateError
from plusx.i18n import _


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("first", metavar="FILE_A", help=_("a weights file, a bundle or a run"))
    add("second", metavar="FILE_B", help=_("another one"))
    add("--network-a", metavar="WORDS", help=_("what FILE_A holds (default: found from its tensors)"))
    add("--key-a", metavar="PATH", help=_("the network in FILE_A, if it holds several"))
    add("--network-b", metavar="WORDS", help=_("what FILE_B holds (default: found from its tensors)"))
    add("--key-b", metavar="PATH", help=_("the network in FILE_B, if it holds several"))
    add("--size", type=int, metavar="N", help=_("side of the inputs in pixels (default: 224; 32 for stem=3x3)"))
    add(
        "--tolerance",
        type=float,
        default=1e-5,
        metavar="T",
        help=_("largest allowed difference, relative to the largest output (default: 0.00001)"),
    )


def run(args: argparse.Namespace) -> int:
    from plusx.weights import verify

    found = verify(
        args.first,
        args.second,
        spec=args.network_a,
        other_spec=args.network_b,
        key=args.key_a,
        other_key=args.key_b,
        size_px=args.size,
        tolerance=args.tolerance,
    )
    say(found.text)
    if not found.same:
        raise GateError(_("{a} and {b} are not proven to compute the same.", a=args.first, b=args.second))
    return 0
