"""`analyse`: a network at an input size, op by op, with totals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import ClassVar, NamedTuple

from plusx.analysis import counts, geometry
from plusx.analysis.depth import Depth, depth
from plusx.analysis.geometry import Geometry, Size
from plusx.errors import GeometryError
from plusx.graph import Block, Graph, Op, lower
from plusx.graph.lower import Network
from plusx.i18n import _
from plusx.specs import input_size
from plusx.specs.display import Displayed


class OpRow(NamedTuple):
    """One op at a size: output (h, w), counts, bytes, and the geometry of its cells in pixels of the input.

    `jump` is the stride against the input, `rf` the local receptive field, `start` the centre of cell 0. `whole` names the
    op that makes each cell depend on the whole image (a gate, a group norm), or is None.
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
    """A part of the network (stem, a stage, head): the geometry of its last map, and its sums."""

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
    """Sums over all ops. `activation_bytes` is the size of all outputs for one image in float32 (training keeps most)."""

    params: int
    macs: int
    activation_bytes: int
    state_bytes: int
    keys: int


@dataclass(frozen=True, repr=False)
class Analysis(Displayed):
    """The result of `analyse`. Rows are in the order of computation; `stages` has stem, the stages, and head if there is one."""

    display_kind: ClassVar[str] = "analysis"
    graph: Graph
    size_px: Size
    rows: tuple[OpRow, ...]
    stages: tuple[StageRow, ...]
    totals: Totals

    @cached_property
    def depth(self) -> Depth:
        return depth(self.graph)

    def __repr__(self) -> str:
        spec, (h, w), totals = self.graph.spec, self.size_px, self.totals
        last = next(row for row in reversed(self.stages) if row.name != "head")
        return (
            f"Analysis({spec}, input {spec.in_channels}x{h}x{w})\n"
            f"  depth {self.depth.sum}\n"
            f"  {totals.params:,} params, {totals.macs:,} MACs\n"
            f"  receptive field {last.rf} px, stride {last.jump} px\n"
            f"  {len(self.rows)} rows, one an op; stages {', '.join(row.name for row in self.stages)}"
        )

    @cached_property
    def _by_name(self) -> dict[str, OpRow | StageRow]:
        return {**{row.op.name: row for row in self.rows}, **{stage.name: stage for stage in self.stages}}

    def __getitem__(self, name: str) -> OpRow | StageRow:
        """The row of an op, or of a stage: `analyse("resnet50")["layer4"].rf == 427`. Raises GeometryError."""
        if name not in self._by_name:
            self.graph[name]  # raises with the nearest name
        return self._by_name[name]


def analyse(network: Network, size_px: int | Size | None = None) -> Analysis:
    """Sizes, receptive fields, parameters and multiply-adds of every op. Raises SpecError, GeometryError.

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
        raise GeometryError(_("An input of {h}x{w} has no pixels. Give a side of 1 or more.", h=size[0], w=size[1]))
    walk = _RowBuilder()
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


class _RowBuilder:
    """Follows the ops of a network in the order of computation and collects a row for each."""

    def __init__(self) -> None:
        self.rows: list[OpRow] = []

    def chain(self, ops: tuple[Op, ...], x: Geometry) -> Geometry:
        for op in ops:
            x = geometry.after(op, x)
            self.add(op, x)
        return x

    def block(self, block: Block, x: Geometry) -> Geometry:
        shared = self.chain(block.before, x)
        branch = self.chain(block.branch, shared)
        if block.join is None:
            return self.chain(block.after, branch)
        shortcut = self.chain(block.shortcut, shared if block.shortcut else x)
        meet = geometry.joined(block.name, [branch, shortcut])
        self.add(block.join, meet)
        return self.chain(block.after, meet)

    def add(self, op: Op, x: Geometry) -> None:
        out = x.size
        row = OpRow(
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


def _stages(rows: tuple[OpRow, ...], parts: list[tuple[str, int, Geometry]]) -> tuple[StageRow, ...]:
    found: list[StageRow] = []
    begin = 0
    for name, end, x in parts:
        own = rows[begin:end]
        sums = sum(row.params for row in own), sum(row.macs for row in own)
        found.append(StageRow(name, x.size, own[-1].op.c_out, x.jump, x.field, x.start, *sums, x.whole))
        begin = end
    return tuple(found)


def _totals(graph: Graph, rows: tuple[OpRow, ...]) -> Totals:
    tensors = [tensor for _, tensor in graph.tensors()]
    state = sum(counts.FLOAT_BYTES * prod(t.shape) if t.shape else 8 for t in tensors)
    return Totals(
        sum(row.params for row in rows),
        sum(row.macs for row in rows),
        sum(row.bytes for row in rows),
        state,
        len(tensors),
    )
