"""A drawing cut into horizontal slices that lie flush below each other: a page folds and unfolds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from plusx.i18n import _
from plusx.svg.drawing import Drawing, Section
from plusx.svg.layout import MARGIN, SECTION_GAP, columns_of
from plusx.svg.legend import draw_legend
from plusx.svg.pen import Pen
from plusx.svg.scene import Scene
from plusx.svg.sections import draw_input, draw_output, draw_section, section_rows, section_title
from plusx.text.alignment import Translate


class Slicer:
    """Slices of one drawing at any detail, all with the same columns."""

    def __init__(self, drawing: Drawing, details: tuple[str, ...], say: Translate) -> None:
        self.drawing, self.say = drawing, say
        self.columns = columns_of([drawing], details, say)
        self.width = ceil(self.columns.right + MARGIN)

    def input(self) -> Scene:
        return self._slice(
            self.say(_("input")), lambda pen: draw_input(self.drawing, pen, self.columns, 0), starts=True
        )

    def section(self, section: Section, detail: str) -> Scene:
        at = replace(self.columns, detail=detail)
        rows = section_rows(self.drawing, section, at)

        def draw(pen: Pen) -> float:
            bottom = (
                ceil(draw_section(self.drawing, section, rows, pen, at, SECTION_GAP)) + 1
            )  # the box's outline, whole
            pen.wire_to(bottom, at.trunk, arrow=False)
            return bottom

        return self._slice(section_title(self.drawing, section, self.say), draw)

    def output(self) -> Scene:
        return self._slice("", lambda pen: draw_output(self.drawing, pen, self.columns, SECTION_GAP))

    def legend(self, detail: str) -> Scene:
        at = replace(self.columns, detail=detail)
        return self._slice("", lambda pen: draw_legend([self.drawing], pen, at, self.width - MARGIN, 14), starts=True)

    def _slice(self, title: str, draw: Callable[[Pen], float], starts: bool = False) -> Scene:
        pen = Pen()
        if not starts:
            pen.wire_from(0)
        bottom = draw(pen)
        return Scene(title, self.width, ceil(bottom), pen.root, pen.blocks)
