"""Sections of a panel from its title to its last pill: stem, stage boxes with their runs, head, the rail of facts."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

from plusx.analysis.geometry import Size
from plusx.i18n import _, _n
from plusx.svg.bars import chain_height, draw_chain, draw_size
from plusx.svg.block_boxes import Frame, block_frame, draw_block
from plusx.svg.columns import RAIL_FONT, STAGE_AIR, TIMES_FONT, Columns
from plusx.svg.drawing import BlockRun, Drawing, Section
from plusx.svg.fonts import wrapped
from plusx.svg.labels import NO_SHORTCUT, SHORTCUTS, costs, input_text, map_text, outputs_text, part_title
from plusx.svg.pen import Pen
from plusx.svg.scene import Box, DrawnBlock, Label, Line, Shape
from plusx.text.alignment import Translate
from plusx.text.notation import stage_names

BLOCK_GAP, PILL = 9, 20
FACT_LINE, TITLE_FONT, SUB_FONT = 13, 16, 10.5


class Rows(NamedTuple):
    """A section's rows (its units together, or its block boxes one by one), the least height, the air around."""

    frames: tuple[Frame, ...]
    least: float
    edge: float

    @property
    def total(self) -> float:
        inner = sum(frame.height for frame in self.frames) + BLOCK_GAP * max(len(self.frames) - 1, 0)
        return max(inner + 2 * self.edge, self.least)


def section_rows(drawing: Drawing, section: Section, columns: Columns) -> Rows:
    least = FACT_LINE * len(facts(drawing, section, columns.say)) + 8
    if section.runs:
        return Rows(tuple(block_frame(run, columns) for run in section.runs), least, STAGE_AIR)
    return Rows((Frame(0, chain_height(section.units, columns), 0),), least, 0)


def paired(rows: list[Rows]) -> Rows:
    """Rows high enough for each of the aligned sections."""
    longest = max(len(each.frames) for each in rows)
    frames = [[each.frames[i] for each in rows if i < len(each.frames)] for i in range(longest)]
    return Rows(tuple(reduce(Frame.around, found) for found in frames), max(each.least for each in rows), rows[0].edge)


def facts(drawing: Drawing, section: Section, say: Translate) -> list[str]:
    """The lines left of a section: its names and figures."""
    part = drawing.part(section.name)
    lines = [say(part_title(section.name))]
    if section.runs:
        paper, _notes, own, _caffe = stage_names(section.name)
        lines.append(f"{own} · {paper}")
    lines += map(say, costs(part.params, part.macs))
    return lines if section.name == "head" else [*lines, say(_("receptive field {rf} px", rf=part.rf))]


def draw_title(words: str, lines: list[str], pen: Pen, columns: Columns, top: float) -> float:
    """Draws the heading of the panel and returns where it ends."""
    y = top
    for line in wrapped(words, TITLE_FONT, columns.width, bold=True):
        y += TITLE_FONT + 3
        pen.add(Label(line, columns.rail_x, y, TITLE_FONT, bold=True))
    for text in lines:
        for line in wrapped(text, SUB_FONT, columns.width):
            y += SUB_FONT + 5
            pen.add(Label(line, columns.rail_x, y, SUB_FONT, role="muted"))
    return y + 6


def draw_input(drawing: Drawing, pen: Pen, columns: Columns, top: float) -> float:
    spec, size = drawing.analysis.graph.spec, drawing.analysis.size_px
    box = Box(columns.bar_x, top, columns.bar_w, PILL)
    _draw_pill(pen, box, columns.say(input_text(spec.in_channels, size_text(size))), "input" in drawing.marks)
    draw_size(pen, columns, box.middle[1], size, "input/size" in drawing.marks, box.right + 4)
    pen.wire_from(box.bottom)
    return box.bottom


def draw_output(drawing: Drawing, pen: Pen, columns: Columns, top: float) -> float:
    """The last pill: classes, features, or the map that a cut net returns, below its cut line."""
    graph, say, y = drawing.analysis.graph, columns.say, top
    if graph.spec.until is not None:
        right = columns.stage_right
        pen.add(Line("cutline", ((columns.stage_x, y), (right, y))))
        pen.add(Label(say(_("cut: until={part}", part=graph.spec.until)), right, y + 13, RAIL_FONT, "end", "hot"))
        y += 20
    box = Box(columns.bar_x, y, columns.bar_w, PILL)
    pen.wire_to(box.y, columns.trunk)
    _draw_pill(pen, box, output_text(drawing, say), "output" in drawing.marks)
    return box.bottom


def output_text(drawing: Drawing, say: Translate) -> str:
    graph, last = drawing.analysis.graph, drawing.analysis.rows[-1]
    if not graph.head:
        return say(map_text(graph.c_out, size_text(last.out)))
    return say(outputs_text(graph.c_out, classes=bool(graph.spec.classes)))


def _draw_pill(pen: Pen, box: Box, text: str, marked: bool) -> None:
    with pen.part(text):
        pen.add(Shape("rect", "io", box, PILL / 2))
        pen.add(Label(text, box.middle[0], box.y + 14, 11, "middle", within=box))
        if marked:
            pen.mark(box.grown(2), PILL / 2 + 2)


def draw_section(drawing: Drawing, section: Section, rows: Rows, pen: Pen, columns: Columns, top: float) -> float:
    """Draws a section and returns where it ends. A stage has a box; stem and head have none."""
    with pen.part(section_title(drawing, section, columns.say), section.name):
        _draw_facts(drawing, section, pen, columns, top)
        if section.runs:
            _draw_stage(drawing, section, rows, pen, columns, top)
        else:
            draw_chain(drawing, section.units, pen, columns, top, sized=True)
    return top + rows.total


def section_title(drawing: Drawing, section: Section, say: Translate) -> str:
    part = drawing.part(section.name)
    out = f"{part.channels} × {size_text(part.out)}"
    if not section.runs:
        return f"{say(part_title(section.name))}: {out}"
    blocks = say(_n("{n} block", "{n} blocks", sum(len(run.blocks) for run in section.runs)))
    return f"{' · '.join(stage_names(section.name))}: {blocks}, {out}"


def _draw_stage(drawing: Drawing, section: Section, rows: Rows, pen: Pen, columns: Columns, top: float) -> None:
    box = Box(columns.stage_x, top, columns.stage_w, rows.total)
    pen.wire_to(top, columns.trunk, arrow=False)
    if f"{section.name}/section" in drawing.marks:
        pen.mark(box.grown(3), 14)
    pen.add(Shape("rect", "stage", box, 11))
    y = top + rows.edge + (rows.total - rows._replace(least=0).total) / 2
    for run, frame in zip(section.runs, rows.frames, strict=False):
        _draw_run(drawing, run, pen, columns, Box(columns.block_x, y, columns.block_w, frame.height), frame)
        y += frame.height + BLOCK_GAP


def _draw_run(drawing: Drawing, run: BlockRun, pen: Pen, columns: Columns, box: Box, frame: Frame) -> None:
    kind = columns.say(SHORTCUTS.get(run.kind, NO_SHORTCUT))
    with pen.part(f"{run.name}: {kind}", run.name):
        draw_block(drawing, run, pen, columns, box, frame)
        hot = f"{run.block.name}/times" in drawing.marks
        if len(run.blocks) > 1 or hot:
            label = Label(
                f"{len(run.blocks)}×", box.x - 7, box.middle[1] + 5, TIMES_FONT, "end", "hot" if hot else "", True
            )
            pen.add(label)
            if hot:
                pen.diamond(label.box.middle[0], label.box.y - 5)
    pen.blocks.append(DrawnBlock(run.block.name, len(run.blocks), box))


def _draw_facts(drawing: Drawing, section: Section, pen: Pen, columns: Columns, top: float) -> None:
    y = top + (8 if section.runs else 2)
    for number, text in enumerate(facts(drawing, section, columns.say)):
        size, y = (RAIL_FONT + 1.5, y + 10) if number == 0 else (RAIL_FONT, y + FACT_LINE)
        pen.add(Label(text, columns.rail_x, y, size, role="muted" if number else "", bold=number == 0))


def size_text(size: Size) -> str:
    return f"{size[0]}×{size[1]}"
