"""Text of megabytes in a pickle: in protocol 2 it is an array's bytes, a character each. It stays in the file until asked for."""

from __future__ import annotations

import codecs
import mmap
from collections.abc import Iterator

from plusx.i18n import _
from plusx.pickles.problems import BadPickle

LONG = 1 << 16
_STEP = 1 << 18


class LongText:
    """UTF-8 in the file. `value` is the text; `latin` its characters as bytes."""

    def __init__(self, piece: memoryview) -> None:
        self.piece = piece
        self.bytes: Latin | None = None

    @property
    def value(self) -> str:
        return "".join(self.parts())

    def parts(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        for at in range(0, len(self.piece), _STEP):
            yield decoder.decode(self.piece[at : at + _STEP], at + _STEP >= len(self.piece))
        release(self.piece)

    def latin(self) -> Latin:
        """The characters as bytes, counted once. Raises BadPickle where one is no byte."""
        if self.bytes is None:
            try:
                self.bytes = Latin(self, sum(len(part.encode("latin-1")) for part in self.parts()))
            except ValueError as error:
                raise BadPickle(_("text that is no bytes in the place of bytes")) from error
        return self.bytes


class Latin:
    """Bytes that a file keeps as text; `value` makes them, `size` is their number."""

    def __init__(self, text: LongText, size: int) -> None:
        self.text, self.size = text, size

    @property
    def value(self) -> memoryview:
        out, at = bytearray(self.size), 0
        for part in self.text.parts():
            piece = part.encode("latin-1")
            out[at : at + len(piece)] = piece
            at += len(piece)
        return memoryview(out).toreadonly()


def release(piece: memoryview) -> None:
    """Gives a mapped file's pages back: what was read once need not stay in memory."""
    mapped = piece.obj
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
