"""How the grid of cells of each stage lies on the image, and which input sizes centre it."""

from __future__ import annotations

from typing import NamedTuple

from plusx.analysis.analyse import Analysis, StageRow
from plusx.analysis.geometry import after, of_input
from plusx.errors import GeometryError
from plusx.graph import Graph, Op

Pair = tuple[float, float]


class PartGeometry(NamedTuple):
    """One part of a network on its input. Lengths in pixels, pairs (h, w).

    `field` is the side of the receptive field, `field_share` its share of the shorter side of the input. `shift` is the middle
    of the centres of all cells minus the middle of the image: an overlay that spreads the cells evenly is off by that much.
    `dilation` is that of the last spatial convolution. `whole` names what makes every cell depend on the whole image, or
    is None.
    """

    name: str
    size: tuple[int, int]
    stride: int
    field: int
    field_share: float
    start: float
    shift: Pair
    dilation: int
    exceeds: bool
    whole: str | None


def part_geometries(analysis: Analysis) -> tuple[PartGeometry, ...]:
    """The stem and each stage. The head is not among them: its one cell depends on all cells of the last stage.

    >>> from plusx.analysis import analyse
    >>> part_geometries(analyse("resnet50"))[-1].shift, part_geometries(analyse("resnet50", 225))[-1].shift
    ((-15.5, -15.5), (0.0, 0.0))
    """
    graph = analysis.graph
    ops = {"stem": graph.stem, **{s.name: tuple(op for b in s.blocks for op in b.ops) for s in graph.stages}}
    return tuple(_card(analysis, row, ops[row.name]) for row in analysis.stages if row.name != "head")


def _card(analysis: Analysis, row: StageRow, ops: tuple[Op, ...]) -> PartGeometry:
    shorter = min(analysis.size_px)
    rates = [op.dilation for op in ops if op.kind == "conv" and op.kernel > 1]
    shift = tuple(shift_of(row.start, row.jump, n, side) for n, side in zip(row.out, analysis.size_px, strict=True))
    return PartGeometry(
        row.name, row.out, row.jump, row.rf, row.rf / shorter, row.start, (shift[0], shift[1]),
        rates[-1] if rates else 1, row.rf > shorter, row.whole,
    )  # fmt: skip


def shift_of(start: float, jump: int, cells: int, side: int) -> float:
    """The distance of the middle of `cells` centres, `jump` apart from `start` on, from the middle of the image.

    >>> shift_of(0.5, 32, 7, 224)
    -15.5
    """
    return start + jump * (cells - 1) / 2 - side / 2


def centring_sizes(analysis: Analysis, part: str, side: int) -> tuple[int | None, int | None]:
    """The input sides nearest to `side`, at most and at least as large, at which the cells of `part` lie centred.

    None where there is none within one stride. Raises GeometryError for a part the network does not have.

    >>> from plusx.analysis import analyse
    >>> centring_sizes(analyse("resnet50"), "layer4", 224)
    (193, 225)
    """
    row = analysis[part]
    spatial = _size_changing(analysis.graph, part)

    def centred(length: int) -> bool:
        try:
            cells = _cells(spatial, length)
        except GeometryError:
            return False
        return abs(shift_of(row.start, row.jump, cells, length)) < 1e-9

    below = next((n for n in range(side, max(side - 2 * row.jump, 0), -1) if centred(n)), None)
    above = next((n for n in range(side, side + 2 * row.jump) if centred(n)), None)
    return below, above


def _size_changing(graph: Graph, part: str) -> list[Op]:
    """The few ops along the branches up to the end of `part` that change a map's size."""
    path = list(graph.stem)
    if part != "stem":
        for stage in graph.stages:
            path += [op for block in stage.blocks for op in block.before + block.branch]
            if stage.name == part:
                break
    return [op for op in path if op.stride != 1]  # the graph pads every op of stride 1 so that it keeps the size


def _cells(ops: list[Op], length: int) -> int:
    x = of_input((length, length))
    for op in ops:
        x = after(op, x)
    return x.size[0]


def outgrown(analysis: Analysis) -> str | None:
    """The first block whose receptive field is larger than the input, or None."""
    shorter = min(analysis.size_px)
    for stage in analysis.graph.stages:
        for block in stage.blocks:
            if analysis[block.ops[-1].name].rf > shorter:
                return block.name
    return None
