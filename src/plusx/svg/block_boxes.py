"""A block box: the ops before the fork, the branch, the curve of the shortcut, the join, and the ops behind it."""

from __future__ import annotations

from typing import NamedTuple

from plusx.graph import Op
from plusx.svg.bars import BAR, chain_height, draw_bar, draw_chain, draw_size
from plusx.svg.columns import BAR_FONT, RAIL_FONT, Columns, shortcut_label, summary_text
from plusx.svg.drawing import BlockRun, Drawing
from plusx.svg.labels import SHORTCUTS
from plusx.svg.pen import Pen
from plusx.svg.scene import Box, Label, Line, Shape
from plusx.text.notation import JOINS

EDGE, SPLIT, MEET, RADIUS, AFTER = 6, 7, 9, 7.5, 4
"""Pixels: box edge to the first thing in it; fork to branch; branch to join; of the join; join to what follows."""
CURVE = 11
DOT = 2.6


class Frame(NamedTuple):
    """Heights of a block box: above the branch, of branch and shortcut side by side, and below."""

    head: float
    inner: float
    tail: float

    @property
    def height(self) -> float:
        return self.head + self.inner + self.tail

    def around(self, other: Frame) -> Frame:
        """The smallest frame that holds both, so that aligned blocks have their branches at the same height."""
        return Frame(*map(max, self, other))


def block_frame(run: BlockRun, columns: Columns) -> Frame:
    joined, stages = run.block.join is not None, columns.detail == "stages"
    head, tail = EDGE + SPLIT * joined, (MEET + 2 * RADIUS) * joined
    if stages:
        return Frame(head, BAR, tail + (2 if joined else EDGE))
    if run.before:
        head += chain_height(run.before, columns) + EDGE
    if run.after:
        tail += AFTER + chain_height(run.after, columns)
    return Frame(head, max(chain_height(run.branch, columns), chain_height(run.shortcut, columns)), tail + EDGE)


def draw_block(drawing: Drawing, run: BlockRun, pen: Pen, columns: Columns, box: Box, frame: Frame) -> None:
    """One run of equal blocks in its box. At stages detail there is no box: the block is a bar."""
    stages = columns.detail == "stages"
    if not stages:
        pen.wire_to(box.y, columns.trunk, arrow=False)
        pen.add(Shape("rect", "block", box, 8))
    if f"{run.block.name}/block" in drawing.marks:
        pen.mark(box.grown(2), 9)
    if run.before and not stages:
        draw_chain(drawing, run.before, pen, columns, box.y + EDGE, sized=False)
    y, inner = box.y + frame.head, frame.inner
    meeting = y + inner + MEET + RADIUS
    if run.block.join is not None:
        _draw_shortcut(drawing, run, pen, columns, y - SPLIT, meeting, y, inner)
    if stages:
        _draw_summary(drawing, run, pen, columns, y)
    else:
        draw_chain(drawing, run.branch, pen, columns, y, sized=True)
    bottom = y + inner
    if run.block.join is not None:
        _draw_join(drawing, run.block.join, pen, columns, meeting)
        bottom = meeting + RADIUS
    if run.after and not stages:
        draw_chain(drawing, run.after, pen, columns, bottom + AFTER, sized=False)


def _draw_summary(drawing: Drawing, run: BlockRun, pen: Pen, columns: Columns, y: float) -> None:
    """The block as one bar."""
    convs = [op for op in run.block.branch if op.kind == "conv"]
    kind = "down" if any(op.stride > 1 for op in convs) else "conv"
    box = Box(columns.bar_x, y, columns.bar_w, BAR)
    pen.wire_to(y, columns.trunk)
    draw_bar(pen, box, summary_text(run, columns.say), kind, BAR_FONT, dilated=any(op.dilation > 1 for op in convs))
    if any(op.name in drawing.marks for op in run.block.ops):
        pen.mark(box.grown(2))
    pen.wire_from(box.bottom)
    changed = [op for op in run.block.branch if op.name in drawing.sizes]
    if changed:
        hot = any(f"{op.name}/size" in drawing.marks for op in changed)
        draw_size(pen, columns, box.middle[1], drawing.sizes[changed[-1].name], hot)


def _draw_shortcut(
    drawing: Drawing,
    run: BlockRun,
    pen: Pen,
    columns: Columns,
    fork: float,
    meeting: float,
    top: float,
    inner: float,
) -> None:
    """The curve from the fork to the join, and the bars or the words on it."""
    bars = run.shortcut if columns.detail != "stages" else ()
    x = columns.short_x + (columns.short_w / 2 if bars else 0)
    trunk = columns.trunk
    points = ((trunk, fork), (x, fork), (x, meeting), (trunk + RADIUS, meeting))
    kind = run.kind
    with pen.part(f"{run.block.name}: {columns.say(SHORTCUTS[kind])}", f"{run.block.name}/shortcut"):
        if f"{run.block.name}/shortcut" in drawing.marks:
            pen.add(Line("halo", points, radius=CURVE))
            if not bars:
                pen.diamond(x, (fork + meeting) / 2)
        pen.add(Line(kind, points, arrow=True, radius=CURVE))
        pen.wire_to(fork, trunk, arrow=False)
        pen.add(Shape("circle", "dot", Box(trunk - DOT, fork - DOT, 2 * DOT, 2 * DOT)))
        if bars:
            slack = inner - chain_height(bars, columns)
            draw_chain(drawing, bars, pen, columns, top + slack / 2, sized=False, on_shortcut=True)
        else:
            text = shortcut_label(run, columns.detail, columns.say)
            pen.add(Label(text, x + 8, (fork + meeting) / 2 + 3.5, RAIL_FONT, role="muted"))


def draw_sign(pen: Pen, box: Box, kind: str) -> None:
    """⊕ where the paths are added, ⊗ where they are multiplied, as shapes: not every font has the characters."""
    pen.add(Shape("circle", "join", box))
    pen.add(Shape("plus" if kind == "add" else "times", "sign", box.grown(-3.2 if kind == "add" else -4.2)))


def _draw_join(drawing: Drawing, join: Op, pen: Pen, columns: Columns, y: float) -> None:
    x = columns.trunk
    box = Box(x - RADIUS, y - RADIUS, 2 * RADIUS, 2 * RADIUS)
    pen.wire_to(box.y, x)
    with pen.part(f"{join.name}: {JOINS[join.kind]}", join.name):
        draw_sign(pen, box, join.kind)
        if join.kind != "add":
            pen.add(Label(JOINS[join.kind], x - RADIUS - 7, y + 3.5, RAIL_FONT, "end", "muted"))
        if join.name in drawing.marks:
            pen.add(Shape("circle", "mark", box.grown(2)))
    pen.wire_from(box.bottom)
