"""A pickle read as data: numbers, text, lists, dictionaries, numpy arrays. Nothing in it is called or imported.

Python's own unpickler calls what a file names. This one walks the opcodes (pickletools gives them with checked lengths)
and knows four names by heart; every other class or function becomes an `Inert` record.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from plusx.errors import DataError

MAX_BYTES = 1 << 28  # CIFAR-100's training file, the largest that is meant to come here, has 155 MB
_MAX_OPS = 4_000_000  # and it has 350,000 opcodes


@dataclass(frozen=True, eq=False)
class Inert:
    """What a pickle wanted made, not made: the name it gave, and that is all."""

    name: str


@dataclass(frozen=True, eq=False)
class _Name:
    name: str


@dataclass(eq=False)
class _Array:
    """An array between REDUCE and BUILD."""

    value: np.ndarray | None = None


@dataclass(eq=False)
class _Type:
    code: str


_MARK = object()
_PLAIN = frozenset(
    "BININT BININT1 BININT2 LONG1 LONG4 INT BINFLOAT BINUNICODE BINUNICODE8 SHORT_BINUNICODE BINBYTES BINBYTES8 "
    "SHORT_BINBYTES BINSTRING SHORT_BINSTRING STRING UNICODE BYTEARRAY8".split()
)
_PUT, _GET = frozenset(("PUT", "BINPUT", "LONG_BINPUT")), frozenset(("GET", "BINGET", "LONG_BINGET"))
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: _MARK,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def unpickle(raw: bytes, name: str) -> Any:
    """What a pickle holds. Raises DataError, naming `name`, for a damaged one or one that needs more than plain data."""
    if len(raw) > MAX_BYTES:
        raise DataError(
            f"{name} is a pickle of {len(raw)} bytes, more than the cap of {MAX_BYTES}; use the binary version"
        )
    try:
        return _Machine().run(raw)
    except DataError as error:
        raise DataError(f"cannot read the pickle {name} ({error}); only dictionaries, lists and arrays are") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, MemoryError, RecursionError) as error:
        words = " ".join(str(error).split())[:120]
        raise DataError(f"damaged pickle {name} ({words or type(error).__name__}); fetch it again") from error


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, raw: bytes) -> Any:
        for count, (op, arg, _) in enumerate(pickletools.genops(raw)):
            if count > _MAX_OPS:
                raise DataError(f"more than {_MAX_OPS} steps")
            if op.name == "STOP":
                return _finished(self.stack.pop())
            self.step(op.name, arg)
        raise DataError("it does not end")

    def step(self, op: str, arg: Any) -> None:
        stack = self.stack
        if op in _PLAIN:
            stack.append(arg)
        elif op in _CONSTANTS:
            stack.append(_CONSTANTS[op]())
        elif op in _PUT:
            self.memo[int(arg)] = stack[-1]
        elif op == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif op in _GET:
            stack.append(self.memo[int(arg)])
        elif op in _TUPLES:
            taken = tuple(stack[-_TUPLES[op] :])
            del stack[-_TUPLES[op] :]
            stack.append(taken)
        elif op not in ("PROTO", "FRAME"):
            self.compound(op, arg)

    def compound(self, op: str, arg: Any) -> None:
        stack = self.stack
        match op:
            case "TUPLE":
                stack.append(tuple(self.marked()))
            case "LIST":
                stack.append(self.marked())
            case "DICT":
                stack.append(_pairs(self.marked()))
            case "APPEND":
                value = stack.pop()
                _needed(stack[-1], list).append(value)
            case "APPENDS":
                values = self.marked()
                _needed(stack[-1], list).extend(values)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _needed(stack[-1], dict)[_key(key)] = value
            case "SETITEMS":
                pairs = _pairs(self.marked())
                _needed(stack[-1], dict).update(pairs)
            case "GLOBAL":
                stack.append(_Name(str(arg).replace(" ", ".")))
            case "STACK_GLOBAL":
                attribute, module = _text(stack.pop()), _text(stack.pop())
                stack.append(_Name(f"{module}.{attribute}"[:200]))
            case "REDUCE" | "NEWOBJ":
                given, called = stack.pop(), stack.pop()
                stack.append(_reduced(called, given))
            case "BUILD":
                state = stack.pop()
                _build(stack[-1], state)
            case _:
                raise DataError(f"opcode {op}")

    def marked(self) -> list[Any]:
        """What lies above the last mark, taken off with it."""
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is _MARK:
                values = self.stack[at + 1 :]
                del self.stack[at:]
                return values
        raise DataError("no mark")


def _needed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise DataError(f"a {kind.__name__} was expected")
    return value


def _text(value: Any) -> str:
    """A name or a type code. Anything else is not even printed: a tuple of shared tuples has no end to its text."""
    return value.decode("latin-1") if isinstance(value, bytes) else _needed(value, str)


def _key(key: Any) -> Any:
    """Only what hashes in one step: a nested tuple of shared parts would take for ever."""
    if not isinstance(key, str | bytes | int | None):
        raise DataError("a key that is neither text nor number")
    return key


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise DataError("a key without a value")
    return {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _reduced(called: Any, given: Any) -> Any:
    """What a call would have given, for the four that build arrays; an Inert record for every other."""
    name = called.name if isinstance(called, _Name) else type(called).__name__
    module, _, last = name.rpartition(".")
    if module in ("numpy.core.multiarray", "numpy._core.multiarray") and last == "_reconstruct":
        return _Array()
    if name == "numpy.dtype":
        return _Type(_text(given[0]))
    if name == "_codecs.encode" and given[1:] in ((), ("latin1",)):  # how Python 3 writes bytes into protocol 2
        return _needed(given[0], str).encode("latin-1")
    if module in ("numpy.core.numeric", "numpy._core.numeric") and last == "_frombuffer":
        raw, kind, shape, order = given
        return _array(raw, kind, shape, order == "F")
    return Inert(name)


def _build(made: Any, state: Any) -> None:
    if isinstance(made, _Array):
        _, shape, kind, fortran, raw = state
        made.value = _array(raw, kind, shape, bool(fortran))
    elif not isinstance(made, _Type | Inert):
        raise DataError("state for what has none")


def _array(raw: Any, kind: Any, shape: Any, fortran: bool) -> np.ndarray:
    if isinstance(raw, str):  # Python 2 wrote its bytes as text
        raw = raw.encode("latin-1")
    if not isinstance(kind, _Type) or kind.code not in ("u1", "uint8", "|u1"):
        raise DataError("an array that is not of bytes")
    if not isinstance(raw, bytes | bytearray) or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise DataError("an array without its bytes")
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


def _finished(value: Any) -> Any:
    """The value; arrays in the top dictionary unwrapped. What lies deeper, nothing here asks for."""
    if isinstance(value, dict):
        return {key: item.value if isinstance(item, _Array) else item for key, item in value.items()}
    return value
