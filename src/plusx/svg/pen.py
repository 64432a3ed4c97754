"""Collects the shapes of a drawing in groups, draws the wire of the trunk, and marks what changed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from plusx.svg.scene import Box, DrawnBlock, Label, Line, SceneGroup, Shape

ARROW_NEEDS = 9
"""A wire shorter than this has no room for an arrow head."""


class Pen:
    """Adds to the innermost open group. `tip` is the y at which the wire of the trunk ends so far, or None before it starts."""

    def __init__(self) -> None:
        self.root = SceneGroup()
        self.blocks: list[DrawnBlock] = []
        self._open = [self.root]
        self.tip: float | None = None

    @contextmanager
    def part(self, title: str, name: str = "") -> Generator[None]:
        """Everything drawn inside belongs together; `title` is the text shown for a pointer over it."""
        part = SceneGroup(title, name)
        self._open[-1].items.append(part)
        self._open.append(part)
        yield
        self._open.pop()

    def add(self, item: Shape | Line | Label) -> None:
        self._open[-1].items.append(item)

    def wire_from(self, y: float) -> None:
        self.tip = y

    def wire_to(self, y: float, x: float, arrow: bool = True) -> None:
        """Draws the trunk from its end down to y."""
        if self.tip is not None and y > self.tip:
            self.add(Line("wire", ((x, self.tip), (x, y)), arrow and y - self.tip >= ARROW_NEEDS))
        self.tip = y

    def mark(self, box: Box, radius: float = 5) -> None:
        """Highlights a box: an outline, and a diamond on its left edge for readers who do not see the colour."""
        self.add(Shape("rect", "mark", box, radius))
        self.diamond(box.x, box.middle[1])

    def diamond(self, x: float, y: float) -> None:
        self.add(Shape("diamond", "diamond", Box(x - 4.5, y - 4.5, 9, 9)))
