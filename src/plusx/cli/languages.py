"""The option --lang of the commands that describe a network."""

from __future__ import annotations

import argparse

from plusx import settings
from plusx.cli.output import choose
from plusx.i18n import LANGUAGES


def add_language(parser: argparse.ArgumentParser) -> None:
    help_text = "language of the text (default: PLUSX_LANG, else en)"
    parser.add_argument("--lang", metavar="|".join(LANGUAGES), help=help_text)


def language(written: str | None) -> str:
    """The language asked for with --lang, else with PLUSX_LANG (`zh_CN.UTF-8` counts as zh). Raises SpecError."""
    if written is not None:
        return choose("language", written, LANGUAGES)
    return settings.language()
