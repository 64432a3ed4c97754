"""plusx weights: work on weights files of any family. Each way is one module, with SUMMARY, add_arguments and run."""

from __future__ import annotations

import argparse

from plusx.errors import SpecError
from plusx.i18n import _

WAYS = {
    "identify": _("say which network files hold, and what they do not tell"),
    "convert": _("write a file for another system, exactly and with a proof"),
    "verify": _("say whether two files compute the same"),
    "guess": _("rank what a file does not tell, by images or known outputs"),
    "bundle": _("make a bundle of a file, which needs no options any more"),
    "cut": _("keep the first stages of a network"),
}
SUBCOMMANDS = WAYS
"""`plusx weights WAY …` is run by the module of that name in this package."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """For `plusx weights` without a known way: what the ways are."""
    parser.add_argument(
        "way", metavar="WAY", nargs="?", help="; ".join(f"{name}: {summary}" for name, summary in WAYS.items())
    )


def run(args: argparse.Namespace) -> int:
    raise SpecError(_("plusx weights needs a way: {ways}.", ways=", ".join(WAYS)))
