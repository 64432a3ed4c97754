"""What changed between two networks, part by part and block by block, and how every figure changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any, ClassVar, NamedTuple

from plusx.analysis.analyse import Analysis, StageRow, analyse
from plusx.analysis.compatibility import Compatibility, compatibility
from plusx.analysis.geometry import Size
from plusx.graph import Block, Graph, Op, lower
from plusx.graph.kinds import JOINS
from plusx.graph.lower import Network
from plusx.specs import KEYS, input_size
from plusx.specs.display import Displayed

GEOMETRY = ("kind", "c_in", "c_out", "kernel", "stride", "padding", "dilation", "groups", "bias", "ceil", "rate")
GATE = ("step", "squeezed", "kernel", "bias")


class OpChange(NamedTuple):
    """One op, or a run of ops, that differs: `before` and `after` as they are, one of them empty where the op is in one network only.

    `what` holds (attribute, before, after) where one op became one of the same kind. `op` is the name inside its block.
    """

    op: str
    what: tuple[tuple[str, Any, Any], ...]
    before: tuple[Op, ...]
    after: tuple[Op, ...]


class Change(NamedTuple):
    """The differences at a place (stem, head, a block). `kind`: changed, added, removed (whole blocks), order (same ops)."""

    place: str
    kind: str
    ops: tuple[OpChange, ...] = ()


class Delta(NamedTuple):
    """A part or the whole, before and after; a part that only one network has is None in the other."""

    name: str
    before: StageRow | None
    after: StageRow | None

    @property
    def params(self) -> int:
        return (self.after.params if self.after else 0) - (self.before.params if self.before else 0)

    @property
    def macs(self) -> int:
        return (self.after.macs if self.after else 0) - (self.before.macs if self.before else 0)


@dataclass(frozen=True, repr=False)
class Diff(Displayed):
    """The result of `diff`: `fields` of the specs (key, before, after), `changes` by place, `parts`, figures, weights.

    `figures` maps params, macs, field, activation_bytes, state_bytes, depth to (before, after); field is the receptive field of
    the last map.
    """

    display_kind: ClassVar[str] = "diff"
    before: Analysis
    after: Analysis
    fields: tuple[tuple[str, Any, Any], ...]
    changes: tuple[Change, ...]
    parts: tuple[Delta, ...]

    @cached_property
    def figures(self) -> dict[str, tuple[int, int]]:
        a, b = self.before, self.after
        pairs = {
            name: (getattr(a.totals, name), getattr(b.totals, name))
            for name in ("params", "macs", "activation_bytes", "state_bytes")
        }
        return {**pairs, "field": (last_field(a), last_field(b)), "depth": (a.depth.counted, b.depth.counted)}

    @cached_property
    def weights(self) -> Compatibility:
        return compatibility(self.before.graph, self.after.graph)

    def __repr__(self) -> str:
        h, w = self.before.size_px
        keys = ", ".join(key for key, _before, _after in self.fields)
        places = [change.place for change in self.changes]
        more = f" and {len(places) - 4} more" if len(places) > 4 else ""
        figures = (f"{name} {x:,} → {y:,}" for name, (x, y) in self.figures.items() if x != y)
        return (
            f"Diff({self.before.graph.spec} → {self.after.graph.spec}, input {h}x{w})\n"
            f"  keys: {keys or 'equal'}\n"
            f"  places: {', '.join(places[:4]) or 'equal'}{more}\n"
            f"  figures: {', '.join(figures) or 'equal'}\n"
            f"  weights: {self.weights.verdict}"
        )

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.fields or self.changes)


def diff(before: Network, after: Network, size_px: int | Size | None = None) -> Diff:
    """What changes from one network to another, both at one input size (None: that of the first's preset).

    Raises SpecError, GeometryError.

    >>> found = diff("resnet50 stride_in=1x1", "resnet50")
    >>> found.figures["macs"], found.figures["field"], found.weights.verdict
    ((3857973248, 4089184256), (483, 427), 'shape')
    """
    a, b = lower(before), lower(after)
    size = input_size(a.spec) if size_px is None else size_px
    first, second = analyse(a, size), analyse(b, size)
    return Diff(first, second, _fields(a, b), tuple(_changes(a, b)), _parts(first, second))


def last_field(analysis: Analysis) -> int:
    """The receptive field of the last map before the pooling to one cell."""
    rows = [row for row in analysis.stages if row.name != "head"]
    return rows[-1].rf


def _fields(a: Graph, b: Graph) -> tuple[tuple[str, Any, Any], ...]:
    names = KEYS
    pairs = ((name, getattr(a.spec, name), getattr(b.spec, name)) for name in names)
    return tuple((name, x, y) for name, x, y in pairs if x != y)


def _parts(a: Analysis, b: Analysis) -> tuple[Delta, ...]:
    first, second = ({row.name: row for row in analysis.stages} for analysis in (a, b))
    middle = sorted({name for name in (*first, *second) if name.startswith("layer")})
    names = ["stem", *middle, *(["head"] if "head" in first or "head" in second else [])]
    return tuple(Delta(name, first.get(name), second.get(name)) for name in names)


def _changes(a: Graph, b: Graph) -> Iterator[Change]:
    yield from _run("stem", a.stem, b.stem)
    for x, y in zip_longest(a.stages, b.stages):
        blocks = zip_longest(x.blocks if x else (), y.blocks if y else ())
        for before, after in blocks:
            yield from _block(before, after)
    yield from _run("head", a.head, b.head)


def _block(a: Block | None, b: Block | None) -> Iterator[Change]:
    if a is None or b is None:
        block = a or b
        if block is not None:
            yield Change(block.name, "removed" if b is None else "added")
        return
    found: list[OpChange] = []
    main_a, main_b = _main(a), _main(b)
    found += _op_changes(main_a, main_b, a.name)
    if _kinds(a.shortcut) == _kinds(b.shortcut):
        found += _op_changes(a.shortcut, b.shortcut, a.name)
    else:
        found.append(OpChange("shortcut", (), a.shortcut, b.shortcut))
    if found:
        yield Change(a.name, "changed", tuple(found))
    elif _names(main_a) != _names(main_b):
        yield Change(a.name, "order")


def _run(place: str, a: Sequence[Op], b: Sequence[Op]) -> Iterator[Change]:
    """Stem or head: op by op where their convolutions agree in kind, else as a whole."""
    if place == "stem" and _kinds(_convs(a)) != _kinds(_convs(b)):
        yield Change(place, "changed", (OpChange("stem", (), tuple(a), tuple(b)),))
        return
    found = _op_changes(a, b, "")
    if found:
        yield Change(place, "changed", tuple(found))


def _main(block: Block) -> tuple[Op, ...]:
    return block.before + block.branch + ((block.join,) if block.join else ()) + block.after


def _op_changes(a: Sequence[Op], b: Sequence[Op], place: str) -> list[OpChange]:
    """Ops matched by their names; a join is matched with the other join, whatever they are called."""
    first, second = {_key(op): op for op in a}, {_key(op): op for op in b}
    found: list[OpChange] = []
    for key in dict.fromkeys((*first, *second)):
        x, y = first.get(key), second.get(key)
        if x is None or y is None or x.kind != y.kind:
            found.append(OpChange(key, (), (x,) if x else (), (y,) if y else ()))
            continue
        what = _moved(x, y)
        if what or _shapes(x) != _shapes(y):
            found.append(OpChange(key, what, (x,), (y,)))
    return found


def _moved(x: Op, y: Op) -> tuple[tuple[str, Any, Any], ...]:
    """(attribute, before, after) of all that differ; a gate's own are written `gate.step`."""
    pairs = [(name, getattr(x, name), getattr(y, name)) for name in GEOMETRY]
    pairs += [(f"gate.{name}", getattr(x.gate, name), getattr(y.gate, name)) for name in GATE]
    return tuple(pair for pair in pairs if pair[1] != pair[2])


def _key(op: Op) -> str:
    return "join" if op.kind in JOINS else op.local_name


def _kinds(ops: Sequence[Op]) -> list[tuple[str, str]]:
    return [(_key(op), op.kind) for op in ops]


def _names(ops: Sequence[Op]) -> list[str]:
    return [_key(op) for op in ops]


def _convs(ops: Sequence[Op]) -> list[Op]:
    return [op for op in ops if op.kind == "conv"]


def _shapes(op: Op) -> tuple[tuple[int, ...], ...]:
    return tuple(tensor.shape for tensor in op.tensors)
