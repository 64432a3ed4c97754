"""stdin, stdout and stderr that take any text: in ASCII or Latin-1, closed, or with names that are no UTF-8."""

from __future__ import annotations

import codecs
import io
import os
import sys

from plusx.i18n import visible

RAW, ESCAPED = "plusx-raw", "plusx-escaped"
_PLAIN = {"…": "...", "→": "->", "×": "x", "–": "-", "·": ".", "≤": "<=", "≥": ">=", "−": "-"}
"""What is printed of plusx's own signs where the encoding lacks them."""


def prepare() -> None:
    """Make the three streams usable, whatever this process was started with. May be called more than once.

    A name that is no UTF-8 goes to a pipe or file as the bytes that it has, and to a terminal escaped.
    """
    # in this order each takes the number of its closed stream, which the next file that is opened would take otherwise
    sys.stdin = sys.stdin or open(os.devnull)
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")
    codecs.register_error(RAW, _raw)
    codecs.register_error(ESCAPED, _escaped)
    for stream, form in ((sys.stdout, ESCAPED if sys.stdout.isatty() else RAW), (sys.stderr, ESCAPED)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=form)


def _raw(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    at = error.object[error.start]
    return (bytes([ord(at) - 0xDC00]), error.start + 1) if 0xDC80 <= ord(at) <= 0xDCFF else _escaped(error)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    at = error.object[error.start]
    shown = _PLAIN.get(at) or visible(at)
    return shown if shown.isascii() else at.encode("ascii", "backslashreplace").decode(), error.start + 1
