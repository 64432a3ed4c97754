"""The columns of a panel: the widths of its bars, shortcuts and rails, which depend on the texts in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from plusx.graph.kinds import GATES
from plusx.i18n import _
from plusx.svg.drawing import SMALL, BlockRun, Drawing, Unit
from plusx.svg.fonts import text_width
from plusx.svg.labels import SHORTCUTS, input_text, map_text, outputs_text
from plusx.text.alignment import Translate
from plusx.text.notation import JOINS, op_text

BAR_FONT, SHORT_FONT, SLIM_FONT, RAIL_FONT, TIMES_FONT = 11.5, 10.5, 9.5, 10, 14
SLANT = 9
"""How much a downsampling bar loses on each side towards its bottom."""
BAR_AIR, BLOCK_AIR, STAGE_AIR, SHORT_GAP = 14, 14, 9, 15


@dataclass(frozen=True)
class Columns:
    """Horizontal positions in a panel in pixels. `short_w` is the width of a shortcut's bars, 0 without any."""

    detail: str
    say: Translate
    rail_x: float
    stage_x: float
    stage_w: float
    block_x: float
    block_w: float
    bar_x: float
    bar_w: float
    short_w: float
    size_x: float
    right: float

    @property
    def trunk(self) -> float:
        return self.bar_x + self.bar_w / 2

    @property
    def short_x(self) -> float:
        return self.bar_x + self.bar_w + SHORT_GAP

    @property
    def stage_right(self) -> float:
        return self.stage_x + self.stage_w

    @property
    def width(self) -> float:
        return self.right - self.rail_x

    def shifted(self, dx: float) -> Columns:
        moved = ("rail_x", "stage_x", "block_x", "bar_x", "size_x", "right")
        return replace(self, **{name: getattr(self, name) + dx for name in moved})


def columns(
    drawings: list[Drawing], details: tuple[str, ...], say: Translate, rail_texts: Iterable[str], left: float
) -> Columns:
    """Columns wide enough for all the drawings at all the details, so that panels agree; set for the first detail."""
    runs = [run for drawing in drawings for section in drawing.sections for run in section.runs]
    bar = max(max(_bar_widths(drawings, runs, detail, say)) for detail in details)
    shorts = (text for detail in details for run in runs for text in _short_bars(run, detail))
    short = max((_bar_width(text, SHORT_FONT) for text in shorts), default=0.0)
    said = (shortcut_label(run, detail, say) for detail in details for run in runs)
    words = max((width(text, RAIL_FONT) + 8 for text in said), default=0.0)
    beside = max(short, words)
    folded = [f"{len(run.blocks)}×" for run in runs if len(run.blocks) > 1]
    times = max((width(text, TIMES_FONT, True) + 10 for text in folded), default=0.0)
    rail = max(width(text, RAIL_FONT + 1.5, True) for text in rail_texts)
    sizes = [f"{h}×{w}" for drawing in drawings for h, w in (*drawing.sizes.values(), drawing.analysis.size_px)]
    stage_x = left + rail + 12
    block_x = stage_x + STAGE_AIR + times
    block_w = 2 * BLOCK_AIR + bar + (SHORT_GAP + beside if any(run.kind != "none" for run in runs) else 0)
    stage_w = block_x + block_w + STAGE_AIR - stage_x
    size_x = stage_x + stage_w + 24
    right = size_x + max(width(text, RAIL_FONT + 0.5, True) for text in sizes)
    return Columns(
        details[0], say, left, stage_x, stage_w, block_x, block_w, block_x + BLOCK_AIR, bar, short, size_x, right
    )  # fmt: skip


@cache
def width(text: str, size: float, bold: bool = False) -> float:
    return text_width(text, size, bold)


def shortcut_label(run: BlockRun, detail: str, say: Translate) -> str:
    """The words beside the curve of a shortcut: always at detail stages, else only where the curve has no bar."""
    return "" if run.kind == "none" or (run.shortcut and detail != "stages") else say(SHORTCUTS[run.kind])


def summary_text(run: BlockRun, say: Translate) -> str:
    """A whole block in one bar: `Bottleneck, c512, s2`."""
    convs = [op for op in run.block.branch if op.kind == "conv"]
    strides, rates, groups = zip(*((op.stride, op.dilation, op.groups) for op in convs), strict=True)
    extras = (("s", max(strides)), ("d", max(rates)), ("g", max(groups)))
    text = say(_("Basic block") if len(convs) == 2 else _("Bottleneck")) + f", c{run.block.c_out}"
    text += "".join(f", {letter}{value}" for letter, value in extras if value != 1)
    return text + "".join(f", {op.kind.upper()}" for op in run.block.branch if op.kind in GATES)


def _bar_width(text: str, size: float) -> float:
    return width(text, size) + 2 * BAR_AIR


def _bar_widths(drawings: list[Drawing], runs: list[BlockRun], detail: str, say: Translate) -> Iterator[float]:
    yield 120.0
    for drawing in drawings:
        graph = drawing.analysis.graph
        widest = "00000×00000"
        yield _bar_width(say(input_text(graph.spec.in_channels, widest)), BAR_FONT)
        yield _bar_width(say(outputs_text(graph.c_out, classes=bool(graph.spec.classes))), BAR_FONT)
        yield _bar_width(say(map_text(graph.c_out, widest)), BAR_FONT)
        joins = {run.block.join.kind for run in runs if run.block.join} - {"add"}
        yield from (2 * width(JOINS[kind], RAIL_FONT) + 20 for kind in joins)
        for section in drawing.sections:
            yield from (_widest(unit, detail) for unit in section.units)
    for run in runs:
        if detail == "stages":
            yield _bar_width(summary_text(run, say), BAR_FONT)
        else:
            yield from (_widest(unit, detail) for unit in (*run.before, *run.branch, *run.after))


def _widest(unit: Unit, detail: str) -> float:
    shown = [op for op in unit.ops if op.kind not in SMALL or detail == "ops"]
    return max((_bar_width(op_text(op), BAR_FONT if op is unit.main else SLIM_FONT) for op in shown), default=0.0)


def _short_bars(run: BlockRun, detail: str) -> Iterator[str]:
    if detail == "stages":
        return
    for unit in run.shortcut:
        yield from (op_text(op) for op in unit.ops if op.kind not in SMALL or detail == "ops")
