"""The pickle opcodes with an argument: where it ends and what it says. Lengths are checked before anything is copied."""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

from plusx.i18n import _
from plusx.pickles.long_text import LONG, LongText
from plusx.pickles.problems import BadPickle

BIG = 1 << 10
"""Byte strings from this length on stay in the file, as memoryviews."""
_MAX_LINE, _MAX_NUMBER = 1 << 12, 1 << 9

Reader = Callable[[memoryview, int], tuple[Any, int]]
"""(file, position) to (argument, position after it)."""


def _piece(raw: memoryview, at: int, size: int) -> tuple[memoryview, int]:
    if size < 0 or at + size > len(raw):
        raise BadPickle(_("{size} bytes are announced at byte {at} and the file ends before them", size=size, at=at))
    return raw[at : at + size], at + size


def _number(format_: str) -> Reader:
    size = struct.calcsize(format_)

    def read(raw: memoryview, at: int) -> tuple[Any, int]:
        piece, after = _piece(raw, at, size)
        return struct.unpack(format_, piece)[0], after

    return read


def _counted(format_: str, convert: Callable[[memoryview], Any]) -> Reader:
    """A length, then as many bytes."""
    length = _number(format_)

    def read(raw: memoryview, at: int) -> tuple[Any, int]:
        size, at = length(raw, at)
        piece, after = _piece(raw, at, size)
        return convert(piece), after

    return read


def _text(piece: memoryview) -> str | LongText:
    return LongText(piece) if len(piece) >= LONG else str(piece, "utf-8", "surrogatepass")


def _latin(piece: memoryview) -> Any:
    """Python 2's str: text where it is short, the bytes in the file where it is an array's."""
    return piece if len(piece) >= BIG else str(piece, "latin-1")


def _bytes(piece: memoryview) -> Any:
    return piece if len(piece) >= BIG else bytes(piece)


def _long(piece: memoryview) -> int:
    if len(piece) > _MAX_NUMBER:
        raise BadPickle(_("an integer of {count} bytes", count=len(piece)))
    return int.from_bytes(piece, "little", signed=True)


def _line(raw: memoryview, at: int, most: int = _MAX_LINE) -> tuple[bytes, int]:
    """Up to the end of the line. The search goes on in growing steps, so that a long line costs its own length."""
    size = 256
    while True:
        piece = bytes(raw[at : min(at + size, at + most)])
        end = piece.find(b"\n")
        if end >= 0:
            return piece[:end], at + end + 1
        if at + size >= len(raw) or size >= most:
            raise BadPickle(_("a line that begins at byte {at} does not end", at=at))
        size *= 4


def _decimal(raw: memoryview, at: int) -> tuple[Any, int]:
    line, after = _line(raw, at)
    if line in (b"00", b"01"):  # protocol 0 writes truth values so
        return line == b"01", after
    digits = line.rstrip(b"L")
    if len(digits) > _MAX_NUMBER:
        raise BadPickle(_("an integer of {count} digits", count=len(digits)))
    return int(digits), after


def _float(raw: memoryview, at: int) -> tuple[Any, int]:
    line, after = _line(raw, at)
    return float(line), after


def _quoted(raw: memoryview, at: int) -> tuple[Any, int]:
    """Protocol 0's str: a Python 2 literal in quotes."""
    line, after = _line(raw, at, len(raw) - at)
    line = line.strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b'"', b"'"):
        raise BadPickle(_("text without its quotes at byte {at}", at=at))
    plain = codecs.escape_decode(line[1:-1])[0]
    return _latin(memoryview(plain)), after


def _raw_unicode(raw: memoryview, at: int) -> tuple[Any, int]:
    line, after = _line(raw, at, len(raw) - at)
    return line.decode("raw-unicode-escape"), after


def _global(raw: memoryview, at: int) -> tuple[Any, int]:
    module, at = _line(raw, at)
    name, at = _line(raw, at)
    return f"{module.decode('utf-8')}.{name.decode('utf-8')}", at


def _memo_line(raw: memoryview, at: int) -> tuple[Any, int]:
    line, after = _line(raw, at, 32)
    return int(line), after


CONSTANTS: dict[int, Callable[[], Any]] = {
    ord("N"): lambda: None, 0x88: lambda: True, 0x89: lambda: False,
    ord("}"): dict, ord("]"): list, ord(")"): tuple, 0x8F: list,
}  # fmt: skip
"""Opcodes that push a new value and have no argument. A set becomes a list: hashing what a file holds may never end."""

PLAIN: dict[int, Reader] = {
    ord("J"): _number("<i"), ord("K"): _number("<B"), ord("M"): _number("<H"), ord("G"): _number(">d"),
    ord("I"): _decimal, ord("L"): _decimal, ord("F"): _float,
    0x8A: _counted("<B", _long), 0x8B: _counted("<i", _long),
    ord("S"): _quoted, ord("T"): _counted("<i", _latin), ord("U"): _counted("<B", _latin),
    ord("V"): _raw_unicode, ord("X"): _counted("<I", _text), 0x8C: _counted("<B", _text), 0x8D: _counted("<Q", _text),
    ord("B"): _counted("<I", _bytes), ord("C"): _counted("<B", _bytes), 0x8E: _counted("<Q", _bytes),
    0x96: _counted("<Q", _bytes),
}  # fmt: skip
"""Opcodes that push their argument."""

PUT: dict[int, Reader] = {ord("p"): _memo_line, ord("q"): _number("<B"), ord("r"): _number("<I")}
GET: dict[int, Reader] = {ord("g"): _memo_line, ord("h"): _number("<B"), ord("j"): _number("<I")}
OTHER: dict[int, Reader] = {
    0x80: _number("<B"), 0x95: _number("<Q"), ord("c"): _global, ord("i"): _global, ord("P"): _line,
    0x82: _number("<B"), 0x83: _number("<H"), 0x84: _number("<i"),
}  # fmt: skip
"""The other opcodes with an argument: protocol, frame, names, a persistent id in text, extension codes."""
