"""plusx weights: work on weights files of any family. Each subcommand is a module of this package, with add_arguments and run."""

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
"""Each subcommand with its summary; `plusx weights SUBCOMMAND` runs the module of that name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `plusx weights` without a subcommand."""
    summaries = [_("{name}: {summary}", name=name, summary=summary) for name, summary in SUBCOMMANDS.items()]
    parser.add_argument("subcommand", nargs="?", metavar="SUBCOMMAND", help=joined("; ", summaries))


def run(args: argparse.Namespace) -> int:
    """Refuse a command without a subcommand; subcommands are run by their own modules. Raises SpecError."""
    raise SpecError(
        _(
            "plusx weights needs a subcommand as its first word: {names}. See plusx weights --help.",
            names=", ".join(SUBCOMMANDS),
        )
    )
