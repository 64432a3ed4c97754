"""A pickle machine that executes nothing: it walks the opcodes, knows the names its caller gives it, and keeps the rest inert.

Python's own unpickler imports and calls what a file names. Here a name is looked up in a `Vocabulary` of functions written
for plusx. Every other one becomes a record of its name, its arguments and its state. Steps are counted, lengths are
checked against the file, long byte strings stay in the file, and nothing that a file holds is printed, compared or hashed
beyond short text and numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plusx.errors import PlusxError
from plusx.i18n import _
from plusx.pickles.opcodes import CONSTANTS, GET, OTHER, PLAIN, PUT
from plusx.pickles.problems import BadPickle

MAX_STEPS = 1_000_000
"""CIFAR-100's training file has 350,000, a saved ResNet-152 with its optimizer 100,000; a step takes about 100 bytes at most."""
_MAX_NAME = 150


@dataclass(frozen=True, eq=False, slots=True)
class Name:
    """A class or function that a pickle names."""

    name: str


@dataclass(eq=False, slots=True)
class Inert:
    """What a pickle wanted made and is not made: the name it gave, its arguments, and what it put into it.

    `args`, `state`, `items` and `pairs` may hold each other and repeat without end: walk them with a bound.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: dict[Any, Any] = field(default_factory=dict)


class Made:
    """A value under way between REDUCE and BUILD. `value` is what it came to be."""

    def build(self, state: Any) -> None:
        """Takes the state that the pickle gives. Raises BadPickle."""

    @property
    def value(self) -> Any:
        return self


Maker = Callable[[tuple[Any, ...]], Any]


@dataclass(frozen=True)
class Vocabulary:
    """What names mean: dotted name to a function of the arguments; and what a persistent id stands for.

    A maker returns what it is given rather than a copy: a pickle may call it a million times with one long list. One that raises LookupError, TypeError or ValueError does not know these arguments: the value becomes inert.
    """

    makers: Mapping[str, Maker] = field(default_factory=dict)
    persistent: Callable[[Any], Any] | None = None
    built: Callable[[Any, Any], None] | None = None
    """Told of a value that a maker made and the state that the pickle adds to it."""


def read_pickle(
    raw: bytes | memoryview, vocabulary: Vocabulary, at: int = 0, max_steps: int = MAX_STEPS
) -> tuple[Any, int]:
    """The value of the pickle that begins at `at`, and the position after it. Raises BadPickle."""
    machine = _Machine(memoryview(raw).toreadonly(), vocabulary, max_steps)
    try:
        return machine.run(at)
    except (PlusxError, BadPickle):
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        raise BadPickle(_("damaged at byte {at}", at=machine.at)) from error
    except (MemoryError, RecursionError) as error:
        raise BadPickle(_("it needs more memory than there is")) from error


def call(called: Any, given: Any, makers: Mapping[str, Maker]) -> Any:
    """What a call would have given, where the vocabulary knows the name; an Inert record else."""
    args = given if isinstance(given, tuple) else ()
    if not isinstance(called, Name):
        return Inert(called.name if isinstance(called, Inert) else type(called).__name__, args)
    maker = makers.get(called.name)
    if maker is not None:
        try:
            return maker(args)
        except (LookupError, TypeError, ValueError):
            pass  # other arguments than the library writes: whatever it is, it is not what the name promises
    return Inert(called.name, args)


class _Machine:
    def __init__(self, raw: memoryview, vocabulary: Vocabulary, max_steps: int) -> None:
        self.raw, self.vocabulary, self.max_steps = raw, vocabulary, max_steps
        self.at = 0
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        """The stacks below the marks."""
        self.memo: dict[int, Any] = {}

    def run(self, at: int) -> tuple[Any, int]:
        self.at = at
        raw, size = self.raw, len(self.raw)
        for _step in range(self.max_steps):
            if self.at >= size:
                raise BadPickle(_("it does not end"))
            op = raw[self.at]
            self.at += 1
            if op == 0x2E:  # STOP
                return self.stack.pop(), self.at
            if op in PLAIN:
                value, self.at = PLAIN[op](raw, self.at)
                self.stack.append(value)
            elif op in CONSTANTS:
                self.stack.append(CONSTANTS[op]())
            elif op in PUT:
                key, self.at = PUT[op](raw, self.at)
                self.memo[key] = self.stack[-1]
            elif op in GET:
                key, self.at = GET[op](raw, self.at)
                self.stack.append(self.memo[key])
            elif op in STEPS:
                STEPS[op](self)
            else:
                raise BadPickle(
                    _(
                        "byte {at} is {op:#04x}, which is no pickle opcode that is read here",
                        at=self.at - 1,
                        op=op,
                    )
                )
        raise BadPickle(_("more than {max_steps} steps", max_steps=self.max_steps))

    def argument(self, op: int) -> Any:
        value, self.at = OTHER[op](self.raw, self.at)
        return value

    def marked(self) -> list[Any]:
        """What lies above the last mark, taken off with it."""
        if not self.outer:
            raise BadPickle(_("no mark at byte {at}", at=self.at))
        values, self.stack = self.stack, self.outer.pop()
        return values

    def take(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise BadPickle(_("nothing on the stack at byte {at}", at=self.at))
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        return values

    def extend(self, values: list[Any]) -> None:
        into = self.stack[-1]
        if isinstance(into, Inert):
            into.items.extend(values)
        elif type(into) is list:
            into.extend(values)
        else:
            raise BadPickle(_("a list was expected at byte {at}", at=self.at))

    def update(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise BadPickle(_("a key without a value at byte {at}", at=self.at))
        into = self.stack[-1]
        into = into.pairs if isinstance(into, Inert) else into
        if not isinstance(into, dict):
            raise BadPickle(_("a dictionary was expected at byte {at}", at=self.at))
        for key, value in zip(values[::2], values[1::2], strict=True):
            into[_key(key)] = value

    def push_name(self, name: str) -> None:
        self.stack.append(Name(name[:_MAX_NAME]))

    def reduce(self) -> None:
        called, given = self.take(2)
        self.stack.append(call(called, given, self.vocabulary.makers))

    def build(self) -> None:
        (state,) = self.take(1)
        made = self.stack[-1]
        if isinstance(made, Made):
            made.build(state)
        elif isinstance(made, Inert):
            made.state = state
        elif isinstance(made, list | tuple | Name):
            raise BadPickle(_("state for what has none at byte {at}", at=self.at))
        elif self.vocabulary.built is not None:  # what a maker made is whole without: a parameter's hooks
            self.vocabulary.built(made, state)

    def persistent(self, key: Any) -> None:
        known = self.vocabulary.persistent
        if known is None:
            raise BadPickle(_("it refers to objects outside the file"))
        self.stack.append(known(key))


def _key(key: Any) -> Any:
    """Only what hashes in one step: a nested tuple of shared parts would take for ever. A record is its own key."""
    if key is None or isinstance(key, str | bytes | int | float | Name | Inert):
        return key
    if isinstance(key, tuple) and len(key) <= 16 and all(isinstance(part, str | int) for part in key):
        return key
    raise BadPickle(_("a key that is neither text nor number"))


def _text(value: Any) -> str:
    """Part of a name. Anything else is not even printed: a tuple of shared tuples has no end to its text."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise BadPickle(_("a name that is not text"))
    return value[:_MAX_NAME]


def _mark(machine: _Machine) -> None:
    machine.outer.append(machine.stack)
    machine.stack = []


def _pop(machine: _Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.marked()


def _tuple(count: int) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(machine.take(count))


def _stack_global(machine: _Machine) -> None:
    module, name = machine.take(2)
    machine.push_name(f"{_text(module)}.{_text(name)}")


def _dict(machine: _Machine) -> None:
    values = machine.marked()
    machine.stack.append({})
    machine.update(values)


def _new_ex(machine: _Machine) -> None:
    called, given, _ = machine.take(3)
    machine.stack.append(call(called, given, machine.vocabulary.makers))


def _inst(machine: _Machine) -> None:
    name, given = machine.argument(ord("i")), tuple(machine.marked())
    machine.stack.append(call(Name(name[:_MAX_NAME]), given, machine.vocabulary.makers))


def _obj(machine: _Machine) -> None:
    called, *given = machine.marked()
    machine.stack.append(call(called, tuple(given), machine.vocabulary.makers))


def _extension(op: int) -> Callable[[_Machine], None]:
    return lambda machine: machine.push_name(f"extension code {machine.argument(op)}")


STEPS: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda m: m.argument(0x80), 0x95: lambda m: m.argument(0x95), 0x98: lambda m: None,
    ord("("): _mark, ord("0"): _pop, ord("1"): lambda m: m.marked() and None, ord("2"): lambda m: m.stack.append(m.stack[-1]),
    0x85: _tuple(1), 0x86: _tuple(2), 0x87: _tuple(3),
    ord("t"): lambda m: (values := m.marked(), m.stack.append(tuple(values))) and None,
    ord("l"): lambda m: (values := m.marked(), m.stack.append(values)) and None,
    0x91: lambda m: (values := m.marked(), m.stack.append(values)) and None,
    ord("d"): _dict,
    ord("a"): lambda m: m.extend(list(m.take(1))), ord("e"): lambda m: m.extend(m.marked()), 0x90: lambda m: m.extend(m.marked()),
    ord("s"): lambda m: m.update(list(m.take(2))), ord("u"): lambda m: m.update(m.marked()),
    0x94: lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    ord("c"): lambda m: m.push_name(m.argument(ord("c"))), 0x93: _stack_global,
    0x82: _extension(0x82), 0x83: _extension(0x83), 0x84: _extension(0x84),
    ord("R"): _Machine.reduce, 0x81: _Machine.reduce, 0x92: _new_ex, ord("i"): _inst, ord("o"): _obj, ord("b"): _Machine.build,
    ord("P"): lambda m: m.persistent(m.argument(ord("P")).decode("latin-1")), ord("Q"): lambda m: m.persistent(m.stack.pop()),
}  # fmt: skip
"""What each of the other opcodes does. Out-of-band buffers (NEXT_BUFFER) have no meaning in a file."""
