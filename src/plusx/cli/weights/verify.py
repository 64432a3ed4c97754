"""plusx weights verify: whether two files compute the same. Exit code 1 where they do not."""

from __future__ import annotations

import argparse

from plusx.errors import GateError
from plusx.i18n import _


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs=2, metavar="FILE", help=_("two weights files, bundles or runs"))
    for which, letter in ((_("first"), "a"), (_("second"), "b")):
        add(
            f"--network-{letter}",
            metavar="WORDS",
            help=_("the {which}'s network in plusx's words, where the file does not tell it", which=which),
        )
        add(f"--key-{letter}", metavar="PATH", help=_("which network of the {which} file", which=which))
    add("--size", type=int, metavar="N", help=_("side of the inputs in pixels (default: 224, or 32 with stem=3x3)"))
    add(
        "--tolerance",
        type=float,
        default=1e-5,
        metavar="T",
        help=_("largest allowed difference, over the largest output"),
    )


def run(args: argparse.Namespace) -> int:
    from plusx.weights.verify import verify

    found = verify(
        *args.files, spec=args.network_a, other_spec=args.network_b, key=args.key_a, other_key=args.key_b,
        size_px=args.size, tolerance=args.tolerance,
    )  # fmt: skip
    print(found)
    if not found.same:
        raise GateError(_("{a} and {b} are not proven to be the same.", a=args.files[0], b=args.files[1]))
    return 0
