"""numpy's part of a pickle's vocabulary: arrays as records of their bytes, checked against their shape, without numpy."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from plusx.i18n import _
from plusx.pickles.long_text import Latin, LongText
from plusx.pickles.machine import Made, Name
from plusx.pickles.problems import BadPickle

_CODE = re.compile(r"[<>|=]?(?:([biufc])(\d{1,2})|(\?))")
_LONG_NAMES = {
    "bool": "b1", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8", "uint8": "u1", "uint16": "u2", "uint32": "u4",
    "uint64": "u8", "float16": "f2", "float32": "f4", "float64": "f8",
}  # fmt: skip
_PLAIN = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip


class Kind(Made):
    """An element type: `code` as numpy writes it without its byte order (`f4`), or one that holds no plain numbers."""

    def __init__(self, code: str) -> None:
        found = _CODE.fullmatch(_LONG_NAMES.get(code, code))
        self.code = "" if found is None else "b1" if found[3] else f"{found[1]}{int(found[2])}"
        self.order = ">" if code[:1] == ">" else "<"

    def build(self, state: Any) -> None:
        """(version, byte order, …): numpy gives the order apart from the code."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in (">", b">"):
            self.order = ">"

    @property
    def itemsize(self) -> int:
        return int(self.code[1:]) if self.code in _PLAIN or self.code in ("c8", "c16") else 0


class Array(Made):
    """A numpy array as its bytes, empty (`done` is False) where it does not hold plain numbers.

    `dtype` is `<f4` and the like; `raw()` gives exactly the bytes of `shape`, from the file where they are long.
    """

    def __init__(self, names: NumpyNames) -> None:
        self.names = names
        self.dtype, self.shape, self.fortran = "", (), False
        self.size = 0
        self.held: bytes | memoryview | Latin = b""
        self.done = False

    def raw(self) -> bytes | memoryview:
        return self.held.value if isinstance(self.held, Latin) else self.held

    def build(self, state: Any) -> None:
        _, shape, kind, fortran, raw = state
        self.fill(raw, kind, shape, bool(fortran))

    def fill(self, raw: Any, kind: Any, shape: Any, fortran: bool) -> None:
        """Raises BadPickle unless it has all of its bytes."""
        self.done = False
        if not isinstance(kind, Kind) or not kind.itemsize:
            return
        if isinstance(raw, str | LongText):  # Python 2 wrote its bytes as text
            raw = self.names.latin(raw)
        if not isinstance(raw, bytes | memoryview | Latin) or not isinstance(shape, tuple) or len(shape) > 32:
            raise BadPickle(_("an array without its bytes"))
        count = 1
        for side in shape:
            if type(side) is not int or not 0 <= side < 1 << 48:
                raise BadPickle(_("an array with a side that is no size"))
            count *= side
        size = raw.size if isinstance(raw, Latin) else len(raw)
        if count * kind.itemsize != size:
            raise BadPickle(_("an array of {value} values in {size} bytes", value=min(count, 1 << 62), size=size))
        self.dtype, self.shape, self.fortran, self.held, self.size = kind.order + kind.code, shape, fortran, raw, size
        self.done = True


class NumpyNames:
    """The names with which numpy writes arrays, their types and single numbers, and Python bytes; for one file."""

    def __init__(self) -> None:
        self.encoded: dict[int, tuple[str, bytes]] = {}

    def makers(self) -> dict[str, Callable[[tuple[Any, ...]], Any]]:
        named: dict[str, Callable[[tuple[Any, ...]], Any]] = {"numpy.dtype": _dtype, "_codecs.encode": self.encode}
        for builtins in ("builtins", "__builtin__"):
            named[f"{builtins}.bytes"] = _no_bytes
        for core in ("numpy.core", "numpy._core"):
            named[f"{core}.multiarray._reconstruct"] = lambda args: Array(self)
            named[f"{core}.multiarray.scalar"] = _scalar
            named[f"{core}.numeric._frombuffer"] = self.frombuffer
        return named

    def latin(self, text: str | LongText) -> bytes | Latin:
        """The bytes of a text, once: a pickle may ask for those of one text a million times."""
        if isinstance(text, LongText):
            return text.latin()
        known = self.encoded.get(id(text))
        if known is None:
            known = self.encoded[id(text)] = (text, text.encode("latin-1"))
        return known[1]

    def encode(self, args: tuple[Any, ...]) -> bytes | Latin:
        """How Python 3 writes bytes into protocol 2."""
        text, *coding = args
        if not isinstance(text, str | LongText) or coding not in ([], ["latin1"], ["latin-1"]):
            raise TypeError
        return self.latin(text)

    def frombuffer(self, args: tuple[Any, ...]) -> Array:
        raw, kind, shape, order = args
        made = Array(self)
        made.fill(raw, kind, shape, order == "F")
        return made


def _no_bytes(args: tuple[Any, ...]) -> bytes:
    """How Python 3 writes no bytes at all into protocol 2."""
    if args:
        raise TypeError
    return b""


def _dtype(args: tuple[Any, ...]) -> Kind:
    code = args[0].name.rpartition(".")[2] if isinstance(args[0], Name) else args[0]
    if isinstance(code, bytes):
        code = code.decode("latin-1")
    if not isinstance(code, str):
        raise TypeError
    return Kind(code)


def _scalar(args: tuple[Any, ...]) -> Any:
    """A numpy number as Python's."""
    kind, raw = args
    raw = raw.encode("latin-1") if isinstance(raw, str) and len(raw) <= 16 else raw
    if not isinstance(kind, Kind) or kind.code not in _PLAIN or not isinstance(raw, bytes):
        raise TypeError
    try:
        return struct.unpack(kind.order + _PLAIN[kind.code], raw)[0]
    except struct.error as error:
        raise ValueError from error
