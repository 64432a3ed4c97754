"""stdout and stderr of a command that must not end because nobody reads them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class LossyStream(io.TextIOBase):
    """Passes text on to `stream` until that fails (reader gone, disk full, terminal or file closed), and drops it from then on."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.lost = stream is None

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
        except UnicodeEncodeError:  # an encoding without a character of a name: the text goes on without it
            encoding = getattr(self.stream, "encoding", None) or "ascii"
            getattr(self.stream, what)(*(str(value).encode(encoding, "replace").decode(encoding) for value in values))
        except (OSError, ValueError):  # ValueError: it was closed
            self.lost = True

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return not self.lost and self.stream is not None and self.stream.isatty()
        return False

    def fileno(self) -> int:
        if self.stream is None:
            raise io.UnsupportedOperation
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"


@contextmanager
def unstoppable_output() -> Iterator[tuple[TextIO, TextIO]]:
    """Inside, a print never raises; stdout and stderr as they were come back, for who wants to know whether they can be written.

    A stream that failed is a null device afterwards, so that the interpreter's last flush does not change the exit code.
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
