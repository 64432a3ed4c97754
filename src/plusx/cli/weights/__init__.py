"""plusx weights: work on weights files of any family. Each way is a module of this package, with add_arguments and run."""

from __future__ import annotations

import argparse

from plusx.errors import SpecError
from plusx.i18n import _, joined

SUBCOMMANDS = {
    "list": _("the pretrained weights that plusx knows by name"),
    "fetch": _("download weights by name, once, and print their path"),
    "identify": _("identify the networks in weights files"),
    "convert": _("write a weights file for another system, exactly and with a proof"),
    "verify": _("check whether two weights files compute the same"),
    "guess": _("rank what a weights file does not show, by images or known outputs"),
    "bundle": _("make a bundle of a weights file"),
    "cut": _("keep the first stages of a network"),
}
"""Each way with its summary; `plusx weights WAY` runs the module of that name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `plusx weights` without a way."""
    ways = joined("; ", [_("{way}: {summary}", way=way, summary=summary) for way, summary in SUBCOMMANDS.items()])
    parser.add_argument("way", nargs="?", metavar="WAY", help=ways)


def run(args: argparse.Namespace) -> int:
    """Refuse a command without a way at its front, where the ways are run by their own modules. Raises SpecError."""
    raise SpecError(
        _("plusx weights needs a way as its first word: {ways}. See plusx weights --help.", ways=", ".join(SUBCOMMANDS))
    )
