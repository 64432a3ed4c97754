"""Gradients of convolutions on maps of a few cells: on a heap filled with different bytes they are the same bits.

torch's own bf16 weight gradients are not (see plusx/nn/small_maps.py); the control shows that these tests see it.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from plusx.nn import build, small_maps
from plusx.nn.device import autocast, memory_format
from plusx.training.plan import Plan
from plusx.training.recipe import parse_recipe
from plusx.training.seeds import counted
from plusx.training.trainer import Trainer
from training.salting import FILLS, require_glibc, salted
from waiting import HANG

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _glibc() -> None:
    require_glibc()


class Shape(NamedTuple):
    """One convolution and its input; `last` says channels_last."""

    c_in: int
    c_out: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: int
    groups: int
    batch: int
    sides: tuple[int, int]
    last: bool

    def outputs(self) -> tuple[int, ...]:
        reach = [self.dilation * (k - 1) + 1 for k in self.kernel]
        return tuple(
            (n + 2 * p - r) // s + 1 for n, p, r, s in zip(self.sides, self.padding, reach, self.stride, strict=True)
        )


def gradients(shape: Shape, precision: str) -> list[torch.Tensor]:
    """Output and the gradients of input, weight and bias, all float32; the same numbers at every call."""
    torch.manual_seed(0)
    layout = torch.channels_last if shape.last else torch.contiguous_format
    conv = nn.Conv2d(*shape[:7]).to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(shape.batch, shape.c_in, *shape.sides).to(memory_format=layout).requires_grad_()
    with autocast(CPU, precision):
        y = conv(x)
    up = torch.randn(y.shape).to(y.dtype).to(memory_format=layout)
    y.backward(up)
    return [t.detach().float() for t in (y, x.grad, conv.weight.grad, conv.bias.grad)]  # type: ignore[union-attr]


def faults(shape: Shape, precision: str) -> list[str]:
    """Which of the four depend on what lay in memory, or are not finite, or far from float32's."""
    found = []
    for fill in FILLS:
        with salted(fill):
            found.append(gradients(shape, precision))
    right = gradients(shape, "fp32")
    names = ("output", "input gradient", "weight gradient", "bias gradient")
    return [
        name
        for name, first, *others, true in zip(names, *found, right, strict=True)
        if not all(torch.equal(first, other) for other in others)
        or not float((first - true).norm()) <= 0.05 * float(true.norm()) + 0.05
    ]


def _square(c_in: int, c_out: int, kernel: int, stride: int, side: int, batch: int = 4, **more: Any) -> Shape:
    values = {"padding": (kernel // 2, kernel // 2), "dilation": 1, "groups": 1, "last": True, **more}
    return Shape(c_in, c_out, (kernel, kernel), (stride, stride), batch=batch, sides=(side, side), **values)


KNOWN = [
    *[_square(64, 128, 3, 2, side) for side in (1, 2, 3, 4, 8)],
    *[_square(16, 24, kernel, stride, side) for kernel in (3, 5, 7) for stride in (1, 2, 4) for side in (1, 2, 5)],
    *[_square(12, 48, 1, 2, side, last=last) for side in (1, 2, 4) for last in (True, False)],
    _square(32, 32, 3, 2, 1, groups=32),
    _square(32, 64, 3, 2, 1, groups=4),
    _square(16, 16, 3, 1, 3, dilation=4, padding=(4, 4)),
    _square(32, 64, 3, 2, 9)._replace(sides=(9, 1)),
    _square(32, 64, 3, 2, 9)._replace(sides=(1, 9)),
    _square(12, 16, 1, 2, 6, last=False)._replace(sides=(6, 1)),
    _square(16, 64, 4, 4, 3, padding=(1, 1)),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", KNOWN, ids=str)
def test_gradients_do_not_depend_on_what_lay_in_memory(shape: Shape, precision: str) -> None:
    assert faults(shape, precision) == []


def test_torch_alone_fails_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the rule some of the same shapes are wrong, and the test above says so."""
    monkeypatch.setattr(small_maps, "_is_small", lambda *_, **__: False)
    wrong = {shape: found for shape in KNOWN if (found := faults(shape, "bf16"))}
    if not wrong:
        pytest.skip("this torch computes the bf16 weight gradients of small maps rightly on this processor")
    assert all("weight gradient" in found for found in wrong.values())
    monkeypatch.undo()
    assert all(faults(shape, "bf16") == [] for shape in wrong)


STRIDED = """
import sys, torch
from contextlib import nullcontext
from plusx.nn.device import autocast
torch.set_num_threads(1)
conv = torch.nn.Conv2d(8, 256, 1, (3, 1)).to(memory_format=torch.channels_last)
for _ in range(20):
    x = torch.randn(32, 8, 9, 9).to(memory_format=torch.channels_last).requires_grad_()
    with autocast(torch.device("cpu"), "bf16") if sys.argv[1] == "ours" else torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    y.float().sum().backward()
print("alive")
"""


def test_strides_that_differ_do_not_end_the_process() -> None:
    """In torch's own autocast such a weight gradient writes beyond its memory; the control says whether it does here."""
    ended = {
        who: subprocess.run([sys.executable, "-c", STRIDED, who], capture_output=True, text=True, timeout=HANG)
        for who in ("ours", "torch")
    }
    assert ended["ours"].stdout == "alive\n", ended["ours"].stderr
    if ended["torch"].returncode == 0:
        pytest.skip("this torch lives through it on this processor")


def _random_shapes(seed: int, count: int) -> Iterator[Shape]:
    """Odd convolutions that still have an output: strides beyond the map, padding beyond the kernel, thin maps."""
    draw = random.Random(seed)
    while count:
        kernel = draw.choice((1, 1, 2, 3, 3, 4, 5, 7))
        kernels = (kernel, kernel if draw.random() < 0.8 else draw.choice((1, 3, 5)))
        dilation = draw.choice((1, 1, 1, 2, 3))
        stride = draw.choice((1, 1, 2, 2, 3, 4))
        side = draw.choice((1, 1, 2, 2, 3, 4, 5, 7, 8, 11))
        groups = draw.choice((1, 1, 1, 2, 4, 32))
        c_in, c_out = (groups * draw.choice((1, 3, 4, 8, 16)) for _ in range(2))
        padding = draw.choice((dilation * (kernel - 1) // 2, dilation * (kernel - 1) // 2, 0, 1, 2))
        shape = Shape(
            c_in, c_out, kernels, (stride, draw.choice((stride, stride, 1))), (padding, dilation * (kernels[1] - 1) // 2),
            dilation, groups, draw.choice((1, 2, 3, 8, 16)), (side, draw.choice((side, side, 1, 2, 5))), draw.random() < 0.7,
        )  # fmt: skip
        if min(shape.outputs()) > 0:
            count -= 1
            yield shape


@pytest.mark.slow  # three thousand shapes, eight convolutions each
@pytest.mark.parametrize("seed", range(6))
def test_random_convolutions_do_not_depend_on_what_lay_in_memory(seed: int) -> None:
    shapes = list(_random_shapes(seed, 500))
    assert {shape: found for shape in shapes if (found := faults(shape, "bf16"))} == {}


def _weights_after(network: str, side: int, precision: str, fill: int, steps: int = 2) -> str:
    """A hash of the state after `steps` train steps of images of `side` pixels, on a heap of `fill`."""
    recipe = parse_recipe(f"default precision={precision} batch=4 lr=0.01 warmup=0")
    with salted(fill):
        with counted(0, 0):
            net = build(network)
        trainer = Trainer(net, recipe, Plan(8, 4, steps), 0, CPU, precision)
        draw = np.random.default_rng(1)
        for _ in range(steps):
            images = draw.standard_normal((4, 3, side, side)).astype(np.float32)
            trainer.learn(images, draw.integers(0, 10, 4), [f"image {i}" for i in range(4)])
    trainer.require_finite()
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in net.state_dict().values())).hexdigest()


THIN = "classes=10 widths=8,16,24,32 stem_width=8"
SIDES = (8, 17, 33)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("network", [f"resnet18 {THIN}", f"resnet50 {THIN} norm=group4 gate=se"])
def test_weights_do_not_depend_on_what_lay_in_memory(network: str, side: int, precision: str) -> None:
    """Whole train steps, so that every other layer in bf16 is seen too: norms, pools, gates, the head."""
    assert len({_weights_after(network, side, precision, fill) for fill in FILLS}) == 1


def test_a_mode_leaves_large_maps_to_autocast() -> None:
    """Only what the rule names is widened: elsewhere bf16 comes out, as torch's autocast alone gives it, to the bit."""
    conv = nn.Conv2d(8, 8, 3, padding=1).to(memory_format=memory_format("bf16"))  # type: ignore[call-overload]
    for side, dtype in ((8, torch.bfloat16), (3, torch.bfloat16), (2, torch.float32), (1, torch.float32)):
        x = torch.randn(2, 8, side, side).to(memory_format=torch.channels_last)
        with autocast(CPU, "bf16"):
            y = conv(x)
        assert y.dtype == dtype, side
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            assert torch.equal(y, conv(x))
    with autocast(CPU, "bf16"):
        from_bf16 = conv(torch.randn(2, 8, 1, 1).bfloat16())
    assert from_bf16.dtype == torch.float32


@pytest.mark.parametrize("padding", [0, (1, 1), "same", "valid"])
@pytest.mark.parametrize("dilation", [1, 2, (2, 1)])
def test_the_rule_sees_what_the_convolution_gives(padding: Any, dilation: Any) -> None:
    """An output of one cell along an axis is always small, however padding and dilation are written."""
    for sides in ((5, 9), (3, 3), (6, 5), (11, 12)):
        x, weight = torch.randn(1, 2, *sides), torch.randn(3, 2, 3, 3)
        try:
            out = torch.conv2d(x, weight, None, 1, padding, dilation)
        except RuntimeError:  # the kernel is larger than the padded map
            continue
        if 1 in out.shape[2:]:
            assert small_maps._is_small(x, weight, None, 1, padding, dilation)
        if min(sides) > 5:
            assert not small_maps._is_small(x, weight, None, 1, padding, dilation)
