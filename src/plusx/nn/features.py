"""Maps from inside a network, under their names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from plusx.analysis.feature_info import FeatureInfo, check_place, feature_info, place_names
from plusx.errors import SpecError
from plusx.graph import lower
from plusx.nn.resnet import ResNet
from plusx.nn.surgery import cut
from plusx.nn.traversal import steps
from plusx.specs import ResNetSpec


class Features(nn.Module):
    """(n, in_channels, h, w) to {name: map (n, c, h', w')}, in the order of computation. Made by `features`.

    `net` is the network up to the last map, with torchvision's names inside; `info` tells each map's channels, stride,
    field and first cell.
    """

    def __init__(self, net: ResNet, at: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.info: dict[str, FeatureInfo] = {name: feature_info(net.spec, name) for name in at}

    @property
    def spec(self) -> ResNetSpec:
        return self.net.spec

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        for names, step in steps(self.net):
            x = step(x)
            for name in names:
                if name in self.info:
                    maps[name] = x
        return maps

    def extra_repr(self) -> str:
        return "\n".join(f"{name}: {info}" for name, info in self.info.items())


def features(net: ResNet, at: str | Sequence[str]) -> Features:
    """A module that returns the maps at places like `stem`, `layer2`, `layer3.5` by name; what lies behind is not built.

    Tensors are the network's own. Raises GeometryError for a place that is not there.

    >>> from plusx import build
    >>> {name: i.channels for name, i in features(build("resnet18"), ("layer2", "layer4.0")).info.items()}
    {'layer2': 128, 'layer4.0': 512}
    """
    wanted = [at] if isinstance(at, str) else list(at)
    if not wanted:
        raise SpecError("features of no place; name one or more of stem, layer1, layer3.5, …")
    graph = lower(net.spec)
    for name in wanted:
        check_place(graph, name)
    ordered = [name for name in place_names(graph) if name in wanted]
    return Features(cut(net, ordered[-1]), ordered)
