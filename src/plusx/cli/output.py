"""Where a command's result goes."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from plusx.errors import SpecError, unknown


def add_output(parser: argparse.ArgumentParser) -> None:
    """The option -o FILE."""
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of to stdout")


def choose(what: str, word: str, allowed: Sequence[str]) -> str:
    """`word`, if it is allowed. Raises SpecError with the nearest that is."""
    if word not in allowed:
        raise SpecError(unknown(what, word, allowed))
    return word


def screen_width(output: str | None = None) -> int | None:
    """Columns that tables and paragraphs may take: the terminal's, or COLUMNS where it is set; None for a pipe or a file."""
    columns = os.environ.get("COLUMNS", "")
    if output is not None or not (sys.stdout.isatty() or (columns.isdecimal() and int(columns) > 0)):
        return None
    return shutil.get_terminal_size().columns  # COLUMNS comes before the terminal's own answer


def emit(text: str, output: str | None) -> int:
    """Writes the text to a file, or to stdout; returns the exit code 0. Raises SpecError when the file cannot be."""
    if output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"-o {output}, cannot be written ({error.strerror}); choose another place") from None
    return 0
