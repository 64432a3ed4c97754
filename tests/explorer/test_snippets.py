"""The calls of torchvision and timm that the page offers build the network that they stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

import plusx
from plusx.explorer.snippets import snippets
from plusx.specs import PRESETS

torchvision = pytest.importorskip("torchvision")
timm = pytest.importorskip("timm")

CHANGED = (
    "resnet50 classes=10", "resnet18 classes=7 zero_init=yes", "resnet50 output_stride=8 dilate=previous",
    "resnet101 output_stride=16 dilate=previous classes=21", "resnet18 in_channels=1", "resnet50d in_channels=4 classes=0",
    "resnet18 output_stride=8 dilate=previous", "resnext50_32x4d output_stride=8 dilate=previous", "seresnet50 classes=3",
)  # fmt: skip
NETWORKS = [plusx.spec(net) for net in (*PRESETS, *CHANGED)]
QUICK = ("resnet18", "resnet50 ", "seresnet50")
"""Beginnings of the networks that are built in the default run; make test-parity builds all."""


def calls() -> list[Any]:
    return [
        pytest.param(spec, form, call, id=call, marks=[] if f"{spec} ".startswith(QUICK) else [pytest.mark.parity])
        for spec in NETWORKS
        for form, call in snippets(spec).items()
        if form in ("torchvision", "timm")
    ]


@pytest.mark.parametrize(("spec", "form", "call"), calls())
def test_a_call_builds_the_same_convolutions(spec: plusx.ResNetSpec, form: str, call: str) -> None:
    """Every convolution with its channels, kernel, stride, padding, dilation and groups; every tensor's shape; the classes."""
    with torch.device("meta"):
        net = eval(call, {"torchvision": torchvision, "timm": timm})
    theirs = Counter(
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0], m.dilation[0], m.groups)
        for m in net.modules()
        if isinstance(m, torch.nn.Conv2d)
    )
    graph = plusx.lower(spec)
    ours = Counter(
        (op.c_in, op.c_out, op.kernel, op.stride, op.padding, op.dilation, op.groups)
        for op in graph.ops
        if op.kind == "conv"
    )
    gates = Counter({key: n for key, n in theirs.items() if key not in ours and key[2:] == (1, 1, 0, 1, 1)})
    assert theirs - gates == ours
    shapes = Counter(tuple(tensor.shape) for _key, tensor in graph.tensors())
    assert Counter(flat(tensor.shape) for tensor in net.state_dict().values()) == Counter(map(flat, shapes.elements()))


def flat(shape: Sequence[int]) -> tuple[int, ...]:
    """A 1x1 convolution has the tensor of a linear layer: timm's v2 nets end in one."""
    return tuple(shape[:2]) if len(shape) == 4 and tuple(shape[2:]) == (1, 1) else tuple(shape)


def test_there_are_enough_calls() -> None:
    assert {param.values[1] for param in calls()} == {"torchvision", "timm"}
    assert len(calls()) > 30
