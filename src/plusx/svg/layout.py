"""The layout: one panel, or two side by side with their stages aligned. Series-parallel, top to bottom.

Left to right in a panel: a rail of facts, the stage box with `n×` and the block boxes in it, a rail of map sizes. The
trunk runs down the middle of the branch's bars; shortcuts leave it to the right.
"""

from __future__ import annotations

from plusx.i18n import _
from plusx.svg.columns import Columns, columns
from plusx.svg.drawing import Drawing, Section
from plusx.svg.labels import comparison_title, costs
from plusx.svg.legend import draw_legend, needs_legend
from plusx.svg.pen import Pen
from plusx.svg.scene import Line, Scene
from plusx.svg.sections import draw_input, draw_output, draw_section, draw_title, facts, paired, section_rows
from plusx.text.alignment import Translate

MARGIN, SECTION_GAP, PANEL_GAP = 18, 15, 34


def columns_of(drawings: list[Drawing], details: tuple[str, ...], say: Translate) -> Columns:
    rail = [text for each in drawings for section in each.sections for text in facts(each, section, say)]
    return columns(drawings, details, say, rail, MARGIN)


def scene(drawings: list[Drawing], detail: str, say: Translate) -> Scene:
    """The layout of one drawing, or of two side by side."""
    first = columns_of(drawings, (detail,), say)
    panels = [(each, Pen(), first.shifted(i * (first.width + PANEL_GAP))) for i, each in enumerate(drawings)]
    right = panels[-1][2].right
    y = max(
        draw_title(str(each.analysis.graph.spec), summary(each, say), pen, at, MARGIN - 6) for each, pen, at in panels
    )
    y = max(draw_input(each, pen, at, y + 8) for each, pen, at in panels)
    for name in section_names(drawings):
        y = _draw_aligned(name, panels, y + SECTION_GAP)
    y = max(draw_output(each, pen, at, y + SECTION_GAP) for each, pen, at in panels)
    for number, (_drawing, pen, _columns) in enumerate(panels[1:], 2):
        pen.root.name = f"panel/{number}"
        panels[0][1].root.items.append(pen.root)
    pen = panels[0][1]
    bottom = y + 6
    if needs_legend(drawings, detail, say):
        pen.add(Line("size", ((MARGIN, y + 14), (right, y + 14))))
        bottom = draw_legend(drawings, pen, first, right, y + 20)
    title = (
        say(comparison_title(*(str(each.analysis.graph.spec) for each in drawings)))
        if drawings[1:]
        else str(drawings[0].analysis.graph.spec)
    )
    blocks = [drawn for _, pen, _ in panels for drawn in pen.blocks]
    return Scene(title, right + MARGIN, bottom + MARGIN - 6, pen.root, blocks)


def _draw_aligned(name: str, panels: list[tuple[Drawing, Pen, Columns]], top: float) -> float:
    """The section of a name in each panel that has it, as high as the higher one; where it ends."""
    found = [(each, section_of(each, name), pen, at) for each, pen, at in panels]
    rows = paired([section_rows(each, section, at) for each, section, _, at in found if section])
    return max(draw_section(each, section, rows, pen, at, top) for each, section, pen, at in found if section)


def section_names(drawings: list[Drawing]) -> list[str]:
    """Names of all sections in order: stages are numbered, so the longer network has them all."""
    longest = max(drawings, key=lambda each: sum(bool(section.runs) for section in each.sections))
    names = [section.name for section in longest.sections if section.name != "head"]
    return names + ["head"] * any(section_of(each, "head") for each in drawings)


def section_of(drawing: Drawing, name: str) -> Section | None:
    return next((section for section in drawing.sections if section.name == name), None)


def summary(drawing: Drawing, say: Translate) -> list[str]:
    """The lines below the title: how the depth is counted, what the whole costs."""
    analysis = drawing.analysis
    totals = " · ".join(map(say, costs(analysis.totals.params, analysis.totals.macs)))
    lines = [analysis.depth.sum, say(_("{totals} (conv + linear)", totals=totals))]
    if analysis.graph.spec.order != "pre":
        return lines
    return [*lines, say(_("pre-activation: norm and activation come before their convolution"))]
