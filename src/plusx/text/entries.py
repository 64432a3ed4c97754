"""The lines of `plusx show`: the parts, blocks and ops of a network with their sums, equal blocks once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from plusx.analysis import Analysis, OpRow, StageRow
from plusx.graph import Op
from plusx.i18n import _n
from plusx.text.notation import block_text, groups, op_text

DETAILS = ("stages", "blocks", "ops")
UNIT_STARTS = ("conv", "max_pool", "global_avg_pool", "linear", "dropout")
"""Ops outside blocks that begin a line of their own at detail blocks; norms and activations belong to the line before."""


class TableEntry(NamedTuple):
    """One line: `level` 0 is a part (stem, stage, head), 1 a block or an op outside blocks, 2 an op of a block.

    `params` and `macs` are of one of the `repeat` equal ones. `jump` (the stride against the input), `rf` (the receptive
    field) and `start` (the centre of the first cell) are of the last of them, in pixels.
    The entries with `leaf` add up to the totals at their detail; `layers` are the numbers of the counted layers, of all
    repeats.
    """

    level: int
    name: str
    kind: str
    text: str
    stage: str
    block: str | None
    repeat: int
    op: Op | None
    channels: int
    out: tuple[int, int]
    jump: int
    rf: int
    start: float
    params: int
    macs: int
    layers: tuple[int, ...]
    leaf: bool


def entries(analysis: Analysis, detail: str) -> list[TableEntry]:
    """All lines at a detail (`stages`, `blocks`, `ops`), each part before its blocks and ops."""
    return list(_Lister(analysis, detail).walk())


def layer_numbers(analysis: Analysis) -> dict[str, int]:
    """Number of each counted layer, 1 to the depth; the convolutions of a deep stem share number 1."""
    numbers = {name: number for number, name in enumerate(analysis.depth.counted_ops, 1)}
    for op in analysis.graph.stem:
        if op.kind == "conv":
            numbers[op.name] = 1
    return numbers


class _Lister:
    def __init__(self, analysis: Analysis, detail: str) -> None:
        self.analysis, self.detail = analysis, detail
        self.numbers = layer_numbers(analysis)
        self.rows = {row.op.name: row for row in analysis.rows}
        self.parts = {part.name: part for part in analysis.stages}

    def walk(self) -> Iterator[TableEntry]:
        graph = self.analysis.graph
        yield from self.part("stem", graph.stem, "")
        yield from self.outside("stem", graph.stem)
        for stage in graph.stages:
            ops = [op for block in stage.blocks for op in block.ops]
            yield from self.part(stage.name, ops, _n("{n} block", "{n} blocks", len(stage.blocks)))
            if self.detail != "stages":
                for group in groups(stage):
                    yield from self.blocks(
                        stage.name, group.name, [block.ops for block in group.blocks], block_text(group.blocks[0])
                    )
        if graph.head:
            yield from self.part("head", graph.head, "")
            yield from self.outside("head", graph.head)

    def part(self, name: str, ops: Sequence[Op], text: str) -> Iterator[TableEntry]:
        part: StageRow = self.parts[name]
        kind = "stage" if name.startswith("layer") else name
        yield TableEntry(
            0, name, kind, text, name, None, 1, None, part.channels, part.out, part.jump, part.rf, part.start,
            part.params, part.macs, self.layers(ops), self.detail == "stages",
        )  # fmt: skip

    def outside(self, part: str, ops: Sequence[Op]) -> Iterator[TableEntry]:
        if self.detail == "stages":
            return
        units: list[list[Op]] = []
        for op in ops:
            if self.detail == "ops" or not units or op.kind in UNIT_STARTS:
                units.append([])
            units[-1].append(op)
        for unit in units:
            yield self.entry(1, unit[0].name, unit[0].kind, op_text(unit[0]), part, None, [tuple(unit)], unit[0])

    def blocks(self, stage: str, name: str, blocks: list[tuple[Op, ...]], text: str) -> Iterator[TableEntry]:
        leaf = self.detail == "blocks"
        block = ".".join(blocks[0][0].name.split(".")[:2])
        yield self.entry(1, name, "block", text, stage, block, blocks, None)._replace(leaf=leaf)
        if leaf:
            return
        for same in zip(*blocks, strict=True):
            op = same[0]
            yield self.entry(2, op.name, op.kind, op_text(op), stage, block, [(each,) for each in same], op)

    def entry(
        self, level: int, name: str, kind: str, text: str, stage: str, block: str | None,
        repeats: list[tuple[Op, ...]], op: Op | None,
    ) -> TableEntry:  # fmt: skip
        """The line of equal runs of ops, one run a repeat."""
        last: OpRow = self.rows[repeats[-1][-1].name]
        own = [self.rows[each.name] for each in repeats[0]]
        params, macs = sum(row.params for row in own), sum(row.macs for row in own)
        layers = self.layers([each for run in repeats for each in run])
        return TableEntry(
            level, name, kind, text, stage, block, len(repeats), op, last.op.c_out, last.out, last.jump, last.rf,
            last.start, params, macs, layers, True,
        )  # fmt: skip

    def layers(self, ops: Sequence[Op]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.numbers[op.name] for op in ops if op.name in self.numbers))
