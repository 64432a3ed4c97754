"""The contents of a drawing before the layout: sections, runs of equal blocks, units of ops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from plusx.analysis import Analysis, OpRow, StageRow
from plusx.analysis.geometry import Size
from plusx.graph import Block, Op
from plusx.graph.kinds import ACTIVATIONS, DROPS, GATES, NORMS, POOLS
from plusx.text.notation import BlockGroup, groups

SMALL = {**dict.fromkeys(NORMS, "norm"), **dict.fromkeys(ACTIVATIONS, "act"), **dict.fromkeys(DROPS, "drop")}
"""Ops that are drawn as strips on the op they go with, and what kind of strip."""


class Unit(NamedTuple):
    """An op drawn as a bar with the small ops around it; `main` is None where small ops stand alone."""

    before: tuple[Op, ...]
    main: Op | None
    after: tuple[Op, ...]

    @property
    def ops(self) -> tuple[Op, ...]:
        return self.before + (() if self.main is None else (self.main,)) + self.after


class BlockRun(NamedTuple):
    """Equal neighbouring blocks drawn as one box; its units are those of the first block."""

    blocks: tuple[Block, ...]
    before: tuple[Unit, ...]
    branch: tuple[Unit, ...]
    shortcut: tuple[Unit, ...]
    after: tuple[Unit, ...]
    kind: str

    @property
    def block(self) -> Block:
        return self.blocks[0]

    @property
    def name(self) -> str:
        return BlockGroup(self.blocks).name


class Section(NamedTuple):
    """The stem, a stage or the head. A stage has runs, the others units."""

    name: str
    units: tuple[Unit, ...]
    runs: tuple[BlockRun, ...]

    @property
    def ops(self) -> tuple[Op, ...]:
        """The ops of stem or head."""
        return tuple(op for unit in self.units for op in unit.ops)


@dataclass(frozen=True)
class Drawing:
    """A network to be drawn. `sizes` are the maps (h, w) that differ from the one before, by op along the main path.

    `marks` are the places to highlight: an op's name, `NAME/times`, `NAME/shortcut`, `NAME/join` or `NAME/block` of a
    block, `NAME/size` of an op, `NAME/section`.
    """

    analysis: Analysis
    sections: tuple[Section, ...]
    sizes: dict[str, Size]
    marks: frozenset[str] = frozenset()

    def row(self, op: Op) -> OpRow:
        found = self.analysis[op.name]
        assert isinstance(found, OpRow)
        return found

    def part(self, name: str) -> StageRow:
        found = self.analysis[name]
        assert isinstance(found, StageRow)
        return found


def drawing_of(analysis: Analysis, *, fold: bool = True) -> Drawing:
    """The drawing of an analysed network; `fold` draws equal neighbouring blocks once."""
    graph = analysis.graph
    pre = graph.spec.order == "pre"
    sections = [Section("stem", units(graph.stem, pre=False), ())]
    for stage in graph.stages:
        folded = [group.blocks for group in groups(stage)] if fold else [(block,) for block in stage.blocks]
        sections.append(Section(stage.name, (), tuple(_run(blocks, pre) for blocks in folded)))
    if graph.head:
        sections.append(Section("head", units(graph.head, pre=False), ()))
    return Drawing(analysis, tuple(sections), dict(_changes(analysis)))


def units(ops: tuple[Op, ...], pre: bool) -> tuple[Unit, ...]:
    """Ops in bars. Small ops go with the op behind them in a pre-activation net, with the one in front of them otherwise."""
    found: list[Unit] = []
    waiting: list[Op] = []
    for op in ops:
        if op.kind not in SMALL:
            found.append(Unit(tuple(waiting), op, ()))
            waiting = []
        elif found and not (pre and _more(ops, op)):
            found[-1] = found[-1]._replace(after=(*found[-1].after, op))
        else:
            waiting.append(op)
    return (*found, Unit(tuple(waiting), None, ())) if waiting else tuple(found)


def _more(ops: tuple[Op, ...], op: Op) -> bool:
    """Whether an op behind `op` is drawn as a bar."""
    return any(later.kind not in SMALL for later in ops[ops.index(op) + 1 :])


def _run(blocks: tuple[Block, ...], pre: bool) -> BlockRun:
    block = blocks[0]
    branch, after = (block.branch, block.after) if block.join else (block.branch + block.after, ())
    before, branch, shortcut, after = (units(part, pre) for part in (block.before, branch, block.shortcut, after))
    return BlockRun(blocks, before, branch, shortcut, after, shortcut_kind(block))


def shortcut_kind(block: Block) -> str:
    """identity, projection, zeros, pooled, or none.

    >>> from plusx import lower
    >>> shortcut_kind(lower("resnet50d").stages[1].blocks[0])
    'pooled'
    """
    if block.join is None:
        return "none"
    kinds = {op.kind for op in block.shortcut}
    if not kinds:
        return "identity"
    if "zero_pad" in kinds:
        return "zeros"
    return "pooled" if kinds & set(POOLS) else "projection"


def role(op: Op) -> str:
    """The style of the bar of an op. An op with a stride downsamples; a pool with a stride is drawn as a pool.

    >>> from plusx import lower
    >>> [role(lower("resnet50")[name]) for name in ("conv1", "maxpool", "layer1.0.conv1", "fc")]
    ['down', 'pooldown', 'conv', 'linear']
    """
    if op.kind in SMALL:
        return SMALL[op.kind]
    if op.kind in POOLS:
        return "pooldown" if op.stride > 1 else "pool"
    if op.stride > 1:
        return "down"
    return "gate" if op.kind in GATES else {"linear": "linear", "zero_pad": "zeropad"}.get(op.kind, "conv")


def _changes(analysis: Analysis) -> Iterator[tuple[str, Size]]:
    """(op, size) wherever the size of the map changes, along stem, branches and head."""
    graph = analysis.graph
    rows = {row.op.name: row.out for row in analysis.rows}
    now = analysis.size_px
    paths = [graph.stem, *(block.before + block.branch for stage in graph.stages for block in stage.blocks), graph.head]
    for op in (op for path in paths for op in path):
        if rows[op.name] != now:
            now = rows[op.name]
            yield op.name, now
