"""Feature maps of a network by name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from plusx.errors import SpecError
from plusx.graph import lower
from plusx.i18n import _
from plusx.nn.feature_info import FeatureInfo, check_feature_name, feature_info, feature_names
from plusx.nn.resnet import ResNet
from plusx.nn.surgery import cut
from plusx.nn.traversal import steps
from plusx.specs import ResNetSpec


class Features(nn.Module):
    """(n, in_channels, h, w) to {name: map (n, c, h', w')}, in the order of computation. Made by `features`.

    `net` is the network up to the last of the maps, with torchvision's names. `info` holds the channels, stride, receptive
    field and first cell of each map.
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
    """A module that returns feature maps like `stem`, `layer2`, `layer3.5` by name; later parts of the network are not built.

    It holds the network's own tensors. Raises GeometryError for an unknown name.

    >>> from plusx import build
    >>> {name: i.channels for name, i in features(build("resnet18"), ("layer2", "layer4.0")).info.items()}
    {'layer2': 128, 'layer4.0': 512}
    """
    wanted = [at] if isinstance(at, str) else list(at)
    if not wanted:
        raise SpecError(_("No feature maps were named. Name one or more, like stem, layer1 or layer3.5."))
    graph = lower(net.spec)
    for name in wanted:
        check_feature_name(graph, name)
    ordered = [name for name in feature_names(graph) if name in wanted]
    return Features(cut(net, ordered[-1]), ordered)
