"""`ResNet`: the network as a torch module. Its parts come from the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from torch import Tensor, nn

from plusx.errors import GeometryError
from plusx.graph import Graph, Op
from plusx.i18n import _
from plusx.nn.blocks import BLOCKS
from plusx.nn.feature_info import FeatureInfo, feature_info
from plusx.nn.layers import module_of, sequence
from plusx.specs import ResNetSpec

if TYPE_CHECKING:
    from plusx.images import Preprocessing


class ResNet(nn.Module):
    """Any ResNet: (n, c, h, w) to logits (n, classes), to pooled features (n, c), or to the map of a network with `until`.

    Module and state-dict names are those of torchvision. `spec` describes the network, and `preprocessing` its input where that
    is known. Made by `plusx.build`.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.spec: ResNetSpec = graph.spec
        self.preprocessing: Preprocessing | None = None
        self.frozen_norms: tuple[str, ...] = ()
        kind = BLOCKS[graph.spec.block, graph.spec.order]
        self.conv1 = _required(sequence(graph.stem, "conv1"))
        self.bn1 = _optional(graph.stem, "bn1")
        self.relu = _optional(graph.stem, "relu") or _optional(graph.head, "relu")
        self.maxpool = _optional(graph.stem, "maxpool")
        self.stage_names = [stage.name for stage in graph.stages]
        for stage in graph.stages:
            setattr(self, stage.name, nn.Sequential(*(kind(block) for block in stage.blocks)))
        self.norm = _optional(graph.head, "norm")
        self.avgpool = _optional(graph.head, "avgpool")
        self.dropout = _optional(graph.head, "dropout")
        self.fc = _optional(graph.head, "fc")

    @property
    def info(self) -> FeatureInfo:
        """The feature info of the last map, which is pooled, or the output of a network with `until`."""
        return feature_info(self.spec, self.stage_names[-1] if self.stage_names else "stem")

    def train(self, mode: bool = True) -> Self:
        """As in torch, but norms that `plusx.freeze` froze stay in eval mode."""
        super().train(mode)
        for name in self.frozen_norms:
            self.get_submodule(name).eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        x = self.forward_features(x)
        return x if self.avgpool is None else self.forward_head(x)

    def forward_stem(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) to the map before layer1. A pre-activation network does not normalise here."""
        x = self.conv1(x)
        if self.spec.order == "post":
            x = _required(self.relu)(x if self.bn1 is None else self.bn1(x))
        return x if self.maxpool is None else self.maxpool(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """(n, in_channels, h, w) to the last stage's map."""
        x = self.forward_stem(x)
        for name in self.stage_names:
            x = getattr(self, name)(x)
        return x

    def forward_head(self, x: Tensor) -> Tensor:
        """The last map to logits, or to pooled features (n, c) when there are no classes."""
        if self.avgpool is None:
            raise GeometryError(
                _(
                    "{spec} ends before the head. Call the network itself, or build it without until.",
                    spec=str(self.spec),
                )
            )
        if self.spec.order == "pre":
            x = _required(self.relu)(x if self.norm is None else self.norm(x))
        x = self.avgpool(x).flatten(1)
        if self.dropout is not None:
            x = self.dropout(x)
        return x if self.fc is None else self.fc(x)


def _required(module: nn.Module | None) -> nn.Module:
    if module is None:
        raise LookupError("the graph lacks a part that every network of its order has")
    return module


def _optional(ops: tuple[Op, ...], path: str) -> nn.Module | None:
    op = next((op for op in ops if op.path == path), None)
    return None if op is None else module_of(op)
