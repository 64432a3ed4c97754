"""Feature info: channels, stride and receptive field at the stem, a stage or a block, by name. Needs no torch."""

from __future__ import annotations

from typing import NamedTuple

from plusx.analysis import OpRow, analyse
from plusx.errors import GeometryError, nearest
from plusx.graph import Graph, lower
from plusx.graph.lower import Network
from plusx.i18n import _, joined


class FeatureInfo(NamedTuple):
    """One map of a network: channels, pixels from cell to cell, side of a cell's field, centre of cell 0 (0.5 = pixel 0's).

    `whole` names what makes each cell see the whole image (a gate, a group norm), or is None: `rf` is local then.
    """

    channels: int
    stride: int
    rf: int
    start: float
    whole: str | None = None

    def __str__(self) -> str:
        seen = f"field {self.rf} px" + (f" (the whole image by {self.whole})" if self.whole else "")
        return f"{self.channels} channels, stride {self.stride}, {seen}, first cell at {self.start:g} px"


def place_names(graph: Graph) -> list[str]:
    """`stem`, then each stage's blocks and the stage itself, in the order of computation."""
    names = ["stem"]
    for stage in graph.stages:
        names += [*(block.name for block in stage.blocks), stage.name]
    return names


def check_place(graph: Graph, name: str) -> str:
    """`name`, if the network has such a place. Raises GeometryError with the nearest."""
    names = place_names(graph)
    if name in names:
        return name
    near = nearest(name, reversed(names))  # between equals the later: layer4 of a net that ends earlier means its end
    stages = [_("{stage} (blocks .0 to .{last})", stage=s.name, last=len(s.blocks) - 1) for s in graph.stages]
    allowed = joined(", ", ["stem", *stages])
    if near:
        raise GeometryError(
            _("{spec} has no place {name!r}; did you mean {near!r}? allowed: {allowed}", spec=graph.spec, name=name, near=near, allowed=allowed)
        )  # fmt: skip
    raise GeometryError(
        _("{spec} has no place {name!r}; allowed: {allowed}", spec=graph.spec, name=name, allowed=allowed)
    )


def feature_info(network: Network, at: str) -> FeatureInfo:
    """What the map behind `at` (`stem`, `layer3`, `layer3.4`) is like. Raises GeometryError.

    >>> print(feature_info("resnet50", "layer3"))
    1024 channels, stride 16, field 267 px, first cell at 0.5 px
    """
    graph = lower(network)
    check_place(graph, at)
    last = graph.stem[-1].name
    for stage in graph.stages:
        for block in stage.blocks:
            if at in (block.name, stage.name):
                last = block.ops[-1].name
    row = analyse(graph)[last]
    assert isinstance(row, OpRow)  # an op's name, not a stage's
    return FeatureInfo(row.op.c_out, row.jump, row.rf, row.start, row.whole)
