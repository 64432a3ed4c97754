"""Bars: one op each, with strips (or slim bars) for the small ops that go with it, and chains of them."""

from __future__ import annotations

from plusx.analysis.geometry import Size
from plusx.graph import Op
from plusx.svg.columns import BAR_FONT, RAIL_FONT, SHORT_FONT, SLANT, SLIM_FONT, Columns
from plusx.svg.drawing import SMALL, Drawing, Unit, role
from plusx.svg.labels import costs
from plusx.svg.pen import Pen
from plusx.svg.scene import Box, Label, Line, Shape
from plusx.text.alignment import Translate
from plusx.text.notation import op_text

BAR, GAP = 19, 10
STRIP, SLIM = 4, 15
"""Heights of a small op: a strip without text, or at detail ops a slim bar with text."""
NARROW = ("down", "pooldown")


def pitch(columns: Columns) -> float:
    """The height of a small op; 0 at detail stages, where small ops are not drawn."""
    return {"stages": 0, "blocks": STRIP, "ops": SLIM}[columns.detail]


def unit_height(unit: Unit, columns: Columns) -> float:
    return (BAR if unit.main else 0) + pitch(columns) * (len(unit.before) + len(unit.after))


def chain_height(units: tuple[Unit, ...], columns: Columns) -> float:
    return sum(unit_height(unit, columns) for unit in units) + GAP * max(len(units) - 1, 0)


def draw_chain(
    drawing: Drawing,
    units: tuple[Unit, ...],
    pen: Pen,
    columns: Columns,
    top: float,
    *,
    sized: bool,
    on_shortcut: bool = False,
) -> float:
    """Units one below the other, on the trunk, or on a shortcut whose curve is drawn already."""
    x, width = (columns.short_x, columns.short_w) if on_shortcut else (columns.bar_x, columns.bar_w)
    y = top
    for number, unit in enumerate(units):
        y += GAP if number else 0
        if not on_shortcut:
            pen.wire_to(y, columns.trunk)
        y = _draw_unit(drawing, unit, pen, columns, Box(x, y, width, 0), SHORT_FONT if on_shortcut else BAR_FONT)
        if not on_shortcut:
            pen.wire_from(y)
        if sized and unit.main and unit.main.name in drawing.sizes:
            middle = y - pitch(columns) * len(unit.after) - BAR / 2
            hot = f"{unit.main.name}/size" in drawing.marks
            stem = not unit.main.name.startswith("layer")
            draw_size(pen, columns, middle, drawing.sizes[unit.main.name], hot, x + width + 4 if stem else None)
    return y


def draw_size(pen: Pen, columns: Columns, y: float, size: Size, hot: bool, start: float | None = None) -> None:
    """A map's size in the right rail, with an arrow to it from the stage's edge (or from `start`)."""
    begin = columns.stage_right + 4 if start is None else start
    pen.add(Line("size", ((begin, y), (columns.size_x - 4, y)), arrow=True))
    text = Label(f"{size[0]}×{size[1]}", columns.size_x, y + 4, RAIL_FONT + 0.5, bold=True, role="hot" if hot else "")
    pen.add(text)
    if hot:
        pen.diamond(columns.size_x - 14, y)


def _draw_unit(drawing: Drawing, unit: Unit, pen: Pen, columns: Columns, at: Box, font: float) -> float:
    y = at.y
    for op in unit.before:
        _draw_small(drawing, op, pen, columns, at._replace(y=y))
        y += pitch(columns)
    if unit.main is not None:
        _draw_main(drawing, unit.main, pen, Box(at.x, y, at.w, BAR), font, columns.say)
        y += BAR
    for op in unit.after:
        _draw_small(drawing, op, pen, columns, at._replace(y=y))
        y += pitch(columns)
    _mark_unit(drawing, unit, pen, columns, at._replace(h=y - at.y))
    return y


def _mark_unit(drawing: Drawing, unit: Unit, pen: Pen, columns: Columns, box: Box) -> None:
    """One outline around a unit that changed as a whole; else one around each of its ops that changed."""
    drawn = [op for op in unit.ops if op is unit.main or columns.detail != "stages"]
    changed = [op for op in drawn if op.name in drawing.marks]
    if changed and len(changed) == len(drawn):
        pen.mark(box.grown(2.5))
        return
    y = box.y
    for op in drawn:
        height = BAR if op is unit.main else pitch(columns)
        if op in changed:
            pen.mark(box._replace(y=y, h=height).grown(2 if op is unit.main else 1))
        y += height


def _draw_main(drawing: Drawing, op: Op, pen: Pen, box: Box, font: float, say: Translate) -> None:
    with pen.part(tooltip(drawing, op, say), op.name):
        draw_bar(pen, box, op_text(op), role(op), font, dilated=max(op.dilation, op.gate.step) > 1)


def draw_bar(pen: Pen, box: Box, text: str, kind: str, font: float, *, dilated: bool = False) -> None:
    """A bar with its text; a downsampling bar narrows downwards, a dilated one has a broken outline."""
    narrow = kind in NARROW
    shape = "trapezoid" if narrow else "rect"
    pen.add(Shape(shape, f"{kind} dilated" if dilated else kind, box, SLANT if narrow else 4))
    pen.add(Label(text, box.middle[0], box.middle[1] + font * 0.36, font, "middle", within=box))


def _draw_small(drawing: Drawing, op: Op, pen: Pen, columns: Columns, at: Box) -> None:
    if columns.detail == "stages":
        return
    kind = SMALL[op.kind]
    slim = columns.detail == "ops"
    box = Box(at.x + SLANT, at.y + 1, at.w - 2 * SLANT, pitch(columns) - 1)
    with pen.part(tooltip(drawing, op, columns.say), op.name):
        pen.add(Shape("rect", f"{kind}bar" if slim else kind, box, 3 if slim else 1))
        if slim:
            pen.add(
                Label(op_text(op), box.middle[0], box.middle[1] + SLIM_FONT * 0.36, SLIM_FONT, "middle", within=box)
            )


def tooltip(drawing: Drawing, op: Op, say: Translate) -> str:
    """The text shown for a pointer over an op: its name, notation, output and costs."""
    row = drawing.row(op)
    text = f"{op.name}: {op_text(op)} → {op.c_out} × {row.out[0]}×{row.out[1]}"
    return "; ".join([text, *map(say, costs(row.params, row.macs))])
