"""The legend below the drawing: the meaning of the shapes that it contains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from plusx.graph.kinds import DROPS, POOLS
from plusx.i18n import _
from plusx.svg.block_boxes import draw_sign
from plusx.svg.columns import TIMES_FONT, Columns, width
from plusx.svg.drawing import SMALL, Drawing, role
from plusx.svg.labels import NO_SHORTCUT, SHORTCUTS
from plusx.svg.pen import Pen
from plusx.svg.scene import Box, Label, Line, Shape
from plusx.text.alignment import Translate
from plusx.text.notation import ACTIVATIONS, JOINS, NORMS

FONT, LINE, AIR = 10, 18, 16
SWATCH, TIMES, SIGN = 26, 20, 15


class LegendEntry(NamedTuple):
    text: str
    draw: Callable[[Pen, float, float], None]
    swatch: float = SWATCH


def draw_legend(drawings: list[Drawing], pen: Pen, columns: Columns, right: float, top: float) -> float:
    """Draws the entries in lines as wide as the page and returns where they end."""
    x, y = columns.rail_x, top + LINE / 2
    for entry in _entries(drawings, columns.detail, columns.say):
        wide = entry.swatch + 7 + width(entry.text, FONT)
        if x > columns.rail_x and x + wide > right:
            x, y = columns.rail_x, y + LINE
        entry.draw(pen, x, y)
        pen.add(Label(entry.text, x + entry.swatch + 7, y + 3.6, FONT, role="muted"))
        x += wide + AIR
    return y + LINE / 2


def needs_legend(drawings: list[Drawing], detail: str, say: Translate) -> bool:
    """Whether the legend has any entry: a network cut behind a 3x3 stem has none."""
    return any(_entries(drawings, detail, say))


def _entries(drawings: list[Drawing], detail: str, say: Translate) -> Iterator[LegendEntry]:
    runs = [run for drawing in drawings for section in drawing.sections for run in section.runs]
    kinds = {run.kind for run in runs}
    if any(len(run.blocks) > 1 for run in runs):
        yield LegendEntry(say(_("= n equal blocks, separate weights")), _times, TIMES)
    for kind, text in SHORTCUTS.items():
        if kind in kinds:
            yield LegendEntry(say(text), _curve(kind))
    for join in dict.fromkeys(run.block.join.kind for run in runs if run.block.join):
        yield LegendEntry(JOINS[join], _join(join), SIGN)
    if "none" in kinds:
        yield LegendEntry(say(NO_SHORTCUT), _curve("wire"))
    ops = {op._replace(name="", path=None, tensors=()) for drawing in drawings for op in drawing.analysis.graph.ops}
    roles = {role(op) for op in ops}
    if "down" in roles:
        yield LegendEntry(say(_("downsampling")), _bar("down"))
    if roles & {"pool", "pooldown"}:
        pooldown = any(op.kind in POOLS and op.stride > 1 for op in ops)
        yield LegendEntry(say(_("pooling")), _bar("pooldown" if pooldown else "pool"))
    if any(op.dilation > 1 and op.kind == "conv" for op in ops):
        yield LegendEntry(say(_("dilated")), _bar("conv dilated"))
    if "gate" in roles and detail != "stages":
        yield LegendEntry(say(_("gate")), _bar("gate"))
    if detail == "blocks":
        yield from _strips({op.kind for op in ops if op.kind in SMALL}, drawings, say)
    if any(drawing.marks for drawing in drawings):
        yield LegendEntry(say(_("changed") if drawings[1:] else _("deviates")), _mark)


def _strips(kinds: set[str], drawings: list[Drawing], say: Translate) -> Iterator[LegendEntry]:
    norms = [name for kind, name in NORMS.items() if kind in kinds]
    acts = [name for kind, name in ACTIVATIONS.items() if kind in kinds]
    if norms:
        yield LegendEntry(say(_("norm ({names})", names=", ".join(norms))), _strip("norm"))
    if acts:
        yield LegendEntry(say(_("activation ({names})", names=", ".join(acts))), _strip("act"))
    if kinds & set(DROPS):
        yield LegendEntry(say(_("dropout")), _strip("drop"))


def _times(pen: Pen, x: float, y: float) -> None:
    pen.add(Label("n×", x, y + 4.5, TIMES_FONT - 1, bold=True))


def _curve(kind: str) -> Callable[[Pen, float, float], None]:
    return lambda pen, x, y: pen.add(Line(kind, ((x, y), (x + SWATCH, y)), arrow=True))


def _join(kind: str) -> Callable[[Pen, float, float], None]:
    return lambda pen, x, y: draw_sign(pen, Box(x, y - 7.5, SIGN, SIGN), kind)


def _bar(role: str) -> Callable[[Pen, float, float], None]:
    shape = "trapezoid" if role in ("down", "pooldown") else "rect"
    return lambda pen, x, y: pen.add(Shape(shape, role, Box(x, y - 5, SWATCH, 10), 4 if shape == "trapezoid" else 2))


def _strip(role: str) -> Callable[[Pen, float, float], None]:
    return lambda pen, x, y: pen.add(Shape("rect", role, Box(x, y - 1.5, SWATCH, 3), 1))


def _mark(pen: Pen, x: float, y: float) -> None:
    pen.mark(Box(x + 4, y - 5, SWATCH - 4, 10), 3)
