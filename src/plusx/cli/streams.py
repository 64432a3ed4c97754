"""stdin, stdout and stderr that take any text: in ASCII or Latin-1, closed, or with names that are no UTF-8.

Around a training they also take it where nobody reads them any more.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

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


class LossyStream(io.TextIOBase):
    """Passes text on to `stream` until that fails (reader gone, disk full, terminal or file closed), and drops it from then on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost = False

    def write(self, text: str) -> int:
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        self._try("flush")

    def _try(self, what: str, *values: Any) -> None:
        if self.lost:
            return
        try:
            getattr(self.stream, what)(*values)
        except (OSError, ValueError):  # ValueError: it was closed
            self.lost = True

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return not self.lost and self.stream.isatty()
        return False

    def fileno(self) -> int:
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"


@contextmanager
def unstoppable_output() -> Iterator[tuple[TextIO, TextIO]]:
    """Inside, a print never raises; stdout and stderr as they were come back, for who wants to know whether they can be written.

    The streams were made usable by `prepare`. A stream that failed is a null device afterwards, so that the interpreter's last flush does not change the exit code.
    """
    before = sys.stdout, sys.stderr
    lossy = LossyStream(sys.stdout), LossyStream(sys.stderr)
    sys.stdout, sys.stderr = lossy
    try:
        yield before
    finally:
        for stream in lossy:
            stream.flush()
        null = open(os.devnull, "w", encoding="utf-8") if any(stream.lost for stream in lossy) else None
        sys.stdout, sys.stderr = (
            null if stream.lost and null is not None else own for stream, own in zip(lossy, before, strict=True)
        )
