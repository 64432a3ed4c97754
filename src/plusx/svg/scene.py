"""The result of a layout: shapes and texts with their positions, without colours. Pixels, y downwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from plusx.svg.fonts import ASCENT, DESCENT, text_width


class Box(NamedTuple):
    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        return self.x + self.w

    @property
    def bottom(self) -> float:
        return self.y + self.h

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.w / 2, self.y + self.h / 2

    def grown(self, by: float) -> Box:
        return Box(self.x - by, self.y - by, self.w + 2 * by, self.h + 2 * by)


class Shape(NamedTuple):
    """A figure in a box: rect (corners of `radius`), trapezoid (narrower below by `radius` a side), circle, diamond,
    plus or times (the sign inside a join)."""

    kind: str
    role: str
    box: Box
    radius: float = 0


class Line(NamedTuple):
    """A line through points, its corners rounded by `radius`, with an arrow head at its end if `arrow`."""

    role: str
    points: tuple[tuple[float, float], ...]
    arrow: bool = False
    radius: float = 0

    @property
    def box(self) -> Box:
        xs, ys = [x for x, _ in self.points], [y for _, y in self.points]
        return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


class Label(NamedTuple):
    """A text on one line. (x, y) is on its baseline at its `anchor` (start, middle, end); `within` is the box it lies in."""

    text: str
    x: float
    y: float
    size: float
    anchor: str = "start"
    role: str = ""
    bold: bool = False
    within: Box | None = None

    @property
    def box(self) -> Box:
        width = text_width(self.text, self.size, self.bold)
        left = {"start": self.x, "middle": self.x - width / 2, "end": self.x - width}[self.anchor]
        return Box(left, self.y - ASCENT * self.size, width, (ASCENT + DESCENT) * self.size)


@dataclass
class SceneGroup:
    """Shapes and texts that belong together, their tooltip, and the name of the op or block (`layer1.0.conv1`)."""

    title: str = ""
    name: str = ""
    items: list[Shape | Line | Label | SceneGroup] = field(default_factory=list)

    def walk(self) -> Iterator[Shape | Line | Label]:
        for item in self.items:
            if isinstance(item, SceneGroup):
                yield from item.walk()
            else:
                yield item


class DrawnBlock(NamedTuple):
    """A block box: the first block in it, how many blocks it stands for, and its position."""

    name: str
    times: int
    box: Box


@dataclass
class Scene:
    """A finished layout: its size, everything on it, and its block boxes."""

    title: str
    width: float
    height: float
    root: SceneGroup
    blocks: list[DrawnBlock]
