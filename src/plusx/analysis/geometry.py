"""Sizes, strides and receptive fields, one op at a time.

The field of a cell is an interval of pixels; at a join it is the union of the paths' (Araujo et al., Distill 2019, sec. 4).
Positions are in input pixels, pixel 0 spanning 0 to 1 (its centre is 0.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from plusx.errors import GeometryError
from plusx.graph import Op
from plusx.graph.kinds import KINDS

Size = tuple[int, int]


class Geometry(NamedTuple):
    """Where a map's cells look: its size (h, w), pixels from cell to cell, the field of cell 0, and what widens it.

    `whole` names the first op that makes every cell depend on the whole map (a gate, a group norm), or is None.
    """

    size: Size
    jump: int
    low: float
    high: float
    whole: str | None = None

    @property
    def field(self) -> int:
        """Side of the local receptive field in pixels."""
        return round(self.high - self.low)

    @property
    def start(self) -> float:
        """Centre of the field of cell 0."""
        return (self.low + self.high) / 2


def of_input(size: Size) -> Geometry:
    return Geometry(size, 1, 0.0, 1.0)


def after(op: Op, x: Geometry) -> Geometry:
    """The geometry behind one op. Raises GeometryError where the map vanishes."""
    kind = KINDS[op.kind]
    if kind.map == "global":
        return pooled(x)
    before, behind = kind.reach(op)
    low, high = x.low - before * x.jump, x.high + behind * x.jump
    whole = x.whole or (op.name if kind.whole else None)
    return Geometry(SIZES[kind.map](op, x.size), x.jump * op.stride, low, high, whole)


def _slid(op: Op, before: Size) -> Size:
    found: list[int] = []
    for n in before:
        span = n + 2 * op.padding - op.dilation * (op.kernel - 1) - 1
        steps = -(-span // op.stride) if op.ceil else span // op.stride
        if op.ceil and steps * op.stride >= n + op.padding:  # torch: a last window must start inside
            steps -= 1
        found.append(steps + 1)
    if min(found) < 1:
        raise GeometryError(
            f"{op.name} gets a map of {before[0]}x{before[1]} and leaves nothing of it; give a larger input or strides of 1"
        )
    return found[0], found[1]


def _picked(op: Op, before: Size) -> Size:
    return (before[0] - 1) // op.stride + 1, (before[1] - 1) // op.stride + 1


SIZES: dict[str, Callable[[Op, Size], Size]] = {
    "same": lambda op, before: before,
    "window": _slid,
    "subsampled": _picked,
}


def pooled(x: Geometry) -> Geometry:
    """One cell that has seen every cell of the map: the union of their fields."""
    if x.size == (1, 1):
        return x
    cells = max(x.size)
    return Geometry((1, 1), x.jump * cells, x.low, x.high + (cells - 1) * x.jump, x.whole)


def joined(name: str, paths: list[Geometry]) -> Geometry:
    """The union of the fields of paths that meet. Raises GeometryError when their maps differ in size."""
    first = paths[0]
    for other in paths[1:]:
        if other.size != first.size:
            raise GeometryError(f"{name} joins maps of {first.size} and {other.size}; give another input size")
    whole = next((path.whole for path in paths if path.whole), None)
    return Geometry(first.size, first.jump, min(path.low for path in paths), max(path.high for path in paths), whole)
