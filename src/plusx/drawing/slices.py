"""A picture cut into horizontal slices that lie flush below each other: what a page folds and unfolds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from plusx.drawing.labels import Labels
from plusx.drawing.layout import MARGIN, SECTION_GAP, columns_of
from plusx.drawing.legend import draw_legend
from plusx.drawing.pen import Pen
from plusx.drawing.picture import Picture, Section
from plusx.drawing.scene import Scene
from plusx.drawing.sections import draw_input, draw_output, draw_section, section_rows, section_title


class Slicer:
    """Slices of one picture at any detail, all with the same columns."""

    def __init__(self, picture: Picture, details: tuple[str, ...], labels: Labels) -> None:
        self.picture, self.labels = picture, labels
        self.columns = columns_of([picture], details, labels)
        self.width = ceil(self.columns.right + MARGIN)

    def input(self) -> Scene:
        return self._slice(self.labels.input, lambda pen: draw_input(self.picture, pen, self.columns, 0), starts=True)

    def section(self, section: Section, detail: str) -> Scene:
        at = replace(self.columns, detail=detail)
        rows = section_rows(self.picture, section, at)

        def draw(pen: Pen) -> float:
            bottom = (
                ceil(draw_section(self.picture, section, rows, pen, at, SECTION_GAP)) + 1
            )  # the box's outline, whole
            pen.wire_to(bottom, at.trunk, arrow=False)
            return bottom

        return self._slice(section_title(self.picture, section, self.labels), draw)

    def output(self) -> Scene:
        return self._slice("", lambda pen: draw_output(self.picture, pen, self.columns, SECTION_GAP))

    def legend(self, detail: str) -> Scene:
        at = replace(self.columns, detail=detail)
        return self._slice("", lambda pen: draw_legend([self.picture], pen, at, self.width - MARGIN, 14), starts=True)

    def _slice(self, title: str, draw: Callable[[Pen], float], starts: bool = False) -> Scene:
        pen = Pen()
        if not starts:
            pen.wire_from(0)
        bottom = draw(pen)
        return Scene(title, self.width, ceil(bottom), pen.root, pen.blocks)
