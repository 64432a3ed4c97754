"""Sizes, strides and receptive fields, one op at a time.

The field of a cell is an interval of pixels; at a join it is the union of the paths' (Araujo et al., Distill 2019, sec. 4).
Positions are in input pixels, pixel 0 spanning 0 to 1 (its centre is 0.5).
"""

from __future__ import annotations

from typing import NamedTuple

from plusx.errors import GeometryError
from plusx.graph import Op
from plusx.i18n import _

GATES = ("se", "eca", "cbam")
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
    kind = op.kind
    if kind in ("conv", "max_pool", "avg_pool"):
        low, high = _window(op, x, kind)
        return Geometry(_size(op, x), x.jump * op.stride, low, high, x.whole)
    if kind == "zero_pad":
        size = tuple((n - 1) // op.stride + 1 for n in x.size)
        return x._replace(size=(size[0], size[1]), jump=x.jump * op.stride)
    if kind in ("same_avg_pool", "dilated_avg_pool"):
        return x._replace(high=x.high + op.dilation * x.jump)
    if kind in ("global_avg_pool", "linear"):
        return pooled(x)
    if kind == "cbam":  # the 7x7 convolution widens the field, the squeeze reads the whole map
        reach = (op.kernel // 2) * op.dilation * x.jump
        return x._replace(low=x.low - reach, high=x.high + reach, whole=x.whole or op.name)
    if kind in GATES or kind == "group_norm":
        return x._replace(whole=x.whole or op.name)
    return x


def _window(op: Op, x: Geometry, kind: str) -> tuple[float, float]:
    reach = (op.kernel - 1) * op.dilation
    low = x.low - op.padding * x.jump
    return low, low + reach * x.jump + (x.high - x.low)


def _size(op: Op, x: Geometry) -> Size:
    found: list[int] = []
    for n in x.size:
        span = n + 2 * op.padding - op.dilation * (op.kernel - 1) - 1
        steps = -(-span // op.stride) if op.ceil else span // op.stride
        if op.ceil and steps * op.stride >= n + op.padding:  # torch: a last window must start inside
            steps -= 1
        found.append(steps + 1)
    if min(found) < 1:
        raise GeometryError(
            _(
                "A map of {h}x{w} is too small for {op}. Give a larger input or strides of 1.",
                h=x.size[0], w=x.size[1], op=op.name,
            )
        )  # fmt: skip
    return found[0], found[1]


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
