"""Feature info: channels, stride and receptive field of the maps after the stem, a stage or a block. Needs no torch."""

from __future__ import annotations

from typing import NamedTuple

from plusx.analysis import OpRow, analyse
from plusx.errors import GeometryError, nearest
from plusx.graph import Graph, lower
from plusx.graph.lower import Network
from plusx.i18n import Message, _


class FeatureInfo(NamedTuple):
    """A feature map: channels, stride, side of the receptive field, and centre of cell 0 in pixels (0.5: centre of pixel 0).

    `whole` names the op that makes every cell depend on the whole image (a gate, a group norm), or is None. Where it is an
    op, `rf` is the local field.
    """

    channels: int
    stride: int
    rf: int
    start: float
    whole: str | None = None

    def describe(self) -> Message:
        """All values in words, with a translation."""
        values = {"channels": self.channels, "stride": self.stride, "rf": self.rf, "start": self.start}
        if self.whole:
            return _(
                "{channels} channels, stride {stride}, receptive field {rf} px (the whole image through {op}), "
                "first cell at {start:g} px",
                op=self.whole, **values,
            )  # fmt: skip
        return _("{channels} channels, stride {stride}, receptive field {rf} px, first cell at {start:g} px", **values)

    def __str__(self) -> str:
        return str(self.describe())


def feature_names(graph: Graph) -> list[str]:
    """`stem`, then each stage's blocks and the stage itself, in the order of computation."""
    names = ["stem"]
    for stage in graph.stages:
        names += [*(block.name for block in stage.blocks), stage.name]
    return names


def check_feature_name(graph: Graph, name: str) -> str:
    """`name`, if the network has a feature map of this name. Raises GeometryError with the nearest."""
    names = feature_names(graph)
    if name in names:
        return name
    stages = [f"{stage.name} (blocks .0 to .{len(stage.blocks) - 1})" for stage in graph.stages]
    values = {"spec": str(graph.spec), "name": name, "allowed": ", ".join(["stem", *stages])}
    near = nearest(
        name, reversed(names)
    )  # of equally similar names the later one: layer4 of a shorter network means its end
    if near:
        raise GeometryError(
            _("{spec} has no feature map {name!r}. Did you mean {near!r}? Allowed: {allowed}.", near=near, **values)
        )
    raise GeometryError(_("{spec} has no feature map {name!r}. Allowed: {allowed}.", **values))


def feature_info(network: Network, at: str) -> FeatureInfo:
    """The feature info of the map after `at` (`stem`, `layer3`, `layer3.4`). Raises GeometryError.

    >>> print(feature_info("resnet50", "layer3"))
    1024 channels, stride 16, receptive field 267 px, first cell at 0.5 px
    """
    graph = lower(network)
    check_feature_name(graph, at)
    last = graph.stem[-1].name
    for stage in graph.stages:
        for block in stage.blocks:
            if at in (block.name, stage.name):
                last = block.ops[-1].name
    row = analyse(graph)[last]
    assert isinstance(row, OpRow)  # an op's name, not a stage's
    return FeatureInfo(row.op.c_out, row.jump, row.rf, row.start, row.whole)
