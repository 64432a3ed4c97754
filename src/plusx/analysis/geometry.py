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
from plusx.i18n import _

Size = tuple[int, int]


class Geometry(NamedTuple):
    """How the cells of a map lie on the image: its size (h, w), the stride `jump`, and the receptive field of cell 0.

    `jump` is the distance of two cells in pixels of the input, `low` and `high` are the edges of the field. `whole` names the first op that makes every cell depend on the whole map (a gate, a group norm), or is None.
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
    """The geometry behind one op. Raises GeometryError where nothing is left of the map."""
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
            _(
                "A map of {h}x{w} is too small for {op}. Give a larger input or strides of 1.",
                h=before[0], w=before[1], op=op.name,
            )
        )  # fmt: skip
    return found[0], found[1]


def _picked(op: Op, before: Size) -> Size:
    return (before[0] - 1) // op.stride + 1, (before[1] - 1) // op.stride + 1


SIZES: dict[str, Callable[[Op, Size], Size]] = {
    "same": lambda op, before: before,
    "window": _slid,
    "subsampled": _picked,
}


def pooled(x: Geometry) -> Geometry:
    """One cell that depends on every cell of the map: the union of their fields."""
    if x.size == (1, 1):
        return x
    cells = max(x.size)
    return Geometry((1, 1), x.jump * cells, x.low, x.high + (cells - 1) * x.jump, x.whole)


def joined(name: str, paths: list[Geometry]) -> Geometry:
    """The union of the fields of paths that meet. Raises GeometryError when their maps differ in size."""
    first = paths[0]
    for other in paths[1:]:
        if other.size != first.size:
            sizes = [f"{h}x{w}" for h, w in (first.size, other.size)]
            raise GeometryError(
                _(
                    "The paths of {block} give maps of {first} and {second}, which cannot be joined. Give another input size.",
                    block=name, first=sizes[0], second=sizes[1],
                )
            )  # fmt: skip
    whole = next((path.whole for path in paths if path.whole), None)
    return Geometry(first.size, first.jump, min(path.low for path in paths), max(path.high for path in paths), whole)
