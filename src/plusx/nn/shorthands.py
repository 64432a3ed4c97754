"""The five classical networks as functions: `resnet50(classes=10, output_stride=8)`."""

from __future__ import annotations

from typing import Any

from plusx.nn.building import State, build
from plusx.nn.resnet import ResNet
from plusx.specs import preset


def _classical(name: str, weights: State | str | None, keys: dict[str, Any]) -> ResNet:
    return build(preset(name).replace(**keys), weights)


def resnet18(weights: State | str | None = None, **keys: Any) -> ResNet:
    """ResNet-18; the keys are those of a network's words."""
    return _classical("resnet18", weights, keys)


def resnet34(weights: State | str | None = None, **keys: Any) -> ResNet:
    """ResNet-34; the keys are those of a network's words."""
    return _classical("resnet34", weights, keys)


def resnet50(weights: State | str | None = None, **keys: Any) -> ResNet:
    """ResNet-50 with its stride in the 3x3 (v1.5); the keys are those of a network's words."""
    return _classical("resnet50", weights, keys)


def resnet101(weights: State | str | None = None, **keys: Any) -> ResNet:
    """ResNet-101; the keys are those of a network's words."""
    return _classical("resnet101", weights, keys)


def resnet152(weights: State | str | None = None, **keys: Any) -> ResNet:
    """ResNet-152; the keys are those of a network's words."""
    return _classical("resnet152", weights, keys)
