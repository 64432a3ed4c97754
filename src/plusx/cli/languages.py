"""The option --lang."""

from __future__ import annotations

import argparse

from plusx import settings
from plusx.cli.output import choose
from plusx.i18n import LANGUAGES, _


def add_language(parser: argparse.ArgumentParser) -> None:
    help_text = _("language of everything that is printed (default: PLUSX_LANG, else en)")
    parser.add_argument("--lang", metavar="|".join(LANGUAGES), help=help_text)


def language(written: str | None) -> str:
    """The language asked for with --lang, else with PLUSX_LANG (`zh_CN.UTF-8` counts as zh). Raises SpecError."""
    if written is not None:
        return choose(_("language"), written, LANGUAGES)
    return settings.language()
