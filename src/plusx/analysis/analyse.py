"""`analyse`: a network at an input size, op by op, with totals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple

from plusx.analysis import counts, geometry
from plusx.analysis.depth import Depth, depth
from plusx.analysis.geometry import Geometry, Size
from plusx.errors import GeometryError
from plusx.graph import Block, Graph, Op, lower
from plusx.graph.lower import Network
from plusx.specs import input_size


class Row(NamedTuple):
    """One op at a size: output (h, w), pixels per cell, local field and centre of cell 0 in pixels, counts, bytes.

    `whole` names what makes each cell see the whole image (a gate, a group norm), or is None: `rf` is local then.
    """

    op: Op
    out: Size
    jump: int
    rf: int
    start: float
    params: int
    macs: int
    bytes: int
    whole: str | None


class StageRow(NamedTuple):
    """A part of the network (stem, a stage, head): its last map and its sums."""

    name: str
    out: Size
    channels: int
    jump: int
    rf: int
    start: float
    params: int
    macs: int
    whole: str | None


class Totals(NamedTuple):
    """Sums over all ops. `activation_bytes` is what all outputs of one image take in float32 (training keeps most)."""

    params: int
    macs: int
    activation_bytes: int
    state_bytes: int
    keys: int


@dataclass(frozen=True)
class Analysis:
    """What `analyse` found. Rows in the order of computation; `stages` has stem, the stages, and head where there is one."""

    graph: Graph
    size_px: Size
    rows: tuple[Row, ...]
    stages: tuple[StageRow, ...]
    totals: Totals

    @cached_property
    def depth(self) -> Depth:
        return depth(self.graph)

    @cached_property
    def _by_name(self) -> dict[str, Row | StageRow]:
        return {**{row.op.name: row for row in self.rows}, **{stage.name: stage for stage in self.stages}}

    def __getitem__(self, name: str) -> Row | StageRow:
        """The row of an op, or of a stage: `analyse("resnet50")["layer4"].rf == 427`. Raises GeometryError."""
        if name not in self._by_name:
            self.graph[name]  # raises with the nearest name
        return self._by_name[name]


def analyse(network: Network, size_px: int | Size | None = None) -> Analysis:
    """Sizes, fields, parameters and multiply-adds of every op. Raises SpecError, GeometryError.

    `size_px` is the input's side or (h, w); None takes the preset's.

    >>> a = analyse("resnet50")
    >>> a.totals.macs, a["layer4"].rf
    (4089184256, 427)
    """
    graph = lower(network)
    if size_px is None:
        size_px = input_size(graph.spec)
    size = (size_px, size_px) if isinstance(size_px, int) else (size_px[0], size_px[1])
    if min(size) < 1:
        raise GeometryError(f"an input of {size[0]}x{size[1]} has no pixels; give a side of 1 or more")
    walk = _Walk()
    parts: list[tuple[str, int, Geometry]] = []
    x = walk.chain(graph.stem, geometry.of_input(size))
    parts.append(("stem", len(walk.rows), x))
    for stage in graph.stages:
        for block in stage.blocks:
            x = walk.block(block, x)
        parts.append((stage.name, len(walk.rows), x))
    if graph.head:
        x = walk.chain(graph.head, x)
        parts.append(("head", len(walk.rows), x))
    rows = tuple(walk.rows)
    return Analysis(graph, size, rows, _stages(rows, parts), _totals(graph, rows))


class _Walk:
    def __init__(self) -> None:
        self.rows: list[Row] = []

    def chain(self, ops: tuple[Op, ...], x: Geometry) -> Geometry:
        for op in ops:
            x = geometry.after(op, x)
            self.note(op, x)
        return x

    def block(self, block: Block, x: Geometry) -> Geometry:
        shared = self.chain(block.before, x)
        branch = self.chain(block.branch, shared)
        if block.join is None:
            return self.chain(block.after, branch)
        shortcut = self.chain(block.shortcut, shared if block.shortcut else x)
        meet = geometry.joined(block.name, [branch, shortcut])
        self.note(block.join, meet)
        return self.chain(block.after, meet)

    def note(self, op: Op, x: Geometry) -> None:
        out = x.size
        row = Row(
            op,
            out,
            x.jump,
            x.field,
            x.start,
            counts.params(op),
            counts.macs(op, out),
            counts.out_bytes(op, out),
            x.whole,
        )
        self.rows.append(row)


def _stages(rows: tuple[Row, ...], parts: list[tuple[str, int, Geometry]]) -> tuple[StageRow, ...]:
    found: list[StageRow] = []
    begin = 0
    for name, end, x in parts:
        own = rows[begin:end]
        sums = sum(row.params for row in own), sum(row.macs for row in own)
        found.append(StageRow(name, x.size, own[-1].op.c_out, x.jump, x.field, x.start, *sums, x.whole))
        begin = end
    return tuple(found)


def _totals(graph: Graph, rows: tuple[Row, ...]) -> Totals:
    tensors = [tensor for _, tensor in graph.tensors()]
    state = sum(counts.FLOAT_BYTES * prod(t.shape) if t.shape else 8 for t in tensors)
    return Totals(
        sum(row.params for row in rows),
        sum(row.macs for row in rows),
        sum(row.bytes for row in rows),
        state,
        len(tensors),
    )
