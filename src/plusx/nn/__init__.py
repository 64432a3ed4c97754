"""Networks as torch modules, whose numbers come from the graph."""

from plusx.nn.building import build
from plusx.nn.resnet import ResNet

__all__ = ["ResNet", "build"]
