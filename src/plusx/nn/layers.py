"""The torch module of each op of the graph. All sizes come from the op, and no memory is allocated before there are values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plusx.graph import Op

NORM_EPS = 1e-5
"""The epsilon of torch, Caffe and detectron2 (keras applications/resnet.py has 1.001e-5)."""


def bare(kind: Callable[..., nn.Module], *args: Any, **keys: Any) -> Any:
    """A torch layer on the meta device without initial values: they come from weights or from `init`, and are computed once.

    Equal layers are copies of one prototype, which is four times quicker than torch's constructors. They share meta tensors,
    which hold no data, until each layer is given its own.
    """
    prototype = _prototype(kind, args, tuple(keys.items()))
    layer = object.__new__(type(prototype))
    for name, value in vars(prototype).items():
        layer.__dict__[name] = value.copy() if isinstance(value, dict | set) else value
    return layer


@cache
def _prototype(kind: Any, args: tuple[Any, ...], keys: tuple[tuple[str, Any], ...]) -> nn.Module:
    layer = type(kind.__name__, (kind,), {"reset_parameters": lambda self: None})(*args, device="meta", **dict(keys))
    layer.__class__ = kind
    return layer


class FrozenBatchNorm(nn.Module):
    """Batch norm with fixed statistics and affine, all buffers (torchvision ops/misc.py FrozenBatchNorm2d, eps 1e-5)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.empty(channels, device="meta"))

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, NORM_EPS)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={NORM_EPS}"


class ZeroPad(nn.Module):
    """Option A: every `stride`-th cell, and channels of zeros, `front` of them before the input's (arXiv 1512.03385, 3.3)."""

    def __init__(self, c_in: int, c_out: int, stride: int, front: int) -> None:
        super().__init__()
        self.stride, self.front, self.back = stride, front, c_out - c_in - front

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.front, self.back))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, front={self.front}, back={self.back}"


class SameAvgPool(nn.Module):
    """2x2 average at stride 1 that keeps the size by a row and a column of zeros, which count in the mean (timm layers AvgPool2dSame)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)


class DilatedAvgPool(nn.Module):
    """The mean of x[j] and x[j + dilation] on each axis, as far as they exist: a 2x2 pool of stride 2 on a finer grid."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        for axis in (2, 3):
            n, r = x.shape[axis], self.dilation
            if n > r:
                inner = (x.narrow(axis, 0, n - r) + x.narrow(axis, r, n - r)) / 2
                x = torch.cat([inner, x.narrow(axis, n - r, r)], dim=axis)
        return x

    def extra_repr(self) -> str:
        return f"dilation={self.dilation}"


class SqueezeExcite(nn.Module):
    """x * sigmoid(fc2(relu(fc1(mean of x)))), with the mean over every `step`-th cell (arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int, step: int) -> None:
        super().__init__()
        self.fc1, self.fc2, self.step = (
            bare(nn.Conv2d, channels, squeezed, 1),
            bare(nn.Conv2d, squeezed, channels, 1),
            step,
        )

    def forward(self, x: Tensor) -> Tensor:
        mean = x[:, :, :: self.step, :: self.step].mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))


class EfficientAttention(nn.Module):
    """x * sigmoid of a 1-D convolution along the channels' means (ECA, arXiv 1910.03151)."""

    def __init__(self, kernel: int, step: int) -> None:
        super().__init__()
        self.conv, self.step = bare(nn.Conv1d, 1, 1, kernel, padding=kernel // 2, bias=False), step

    def forward(self, x: Tensor) -> Tensor:
        mean = x[:, :, :: self.step, :: self.step].mean((2, 3))
        return x * torch.sigmoid(self.conv(mean[:, None])).permute(0, 2, 1)[..., None]


class ChannelGate(nn.Module):
    """The first half of CBAM: a shared perceptron over the channels' means and maxima (arXiv 1807.06521, 3.1)."""

    def __init__(self, channels: int, squeezed: int, step: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = (
            bare(nn.Conv2d, channels, squeezed, 1, bias=False),
            bare(nn.Conv2d, squeezed, channels, 1, bias=False),
        )
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        cells = x[:, :, :: self.step, :: self.step]
        mean, most = cells.mean((2, 3), keepdim=True), cells.amax((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))) + self.fc2(F.relu(self.fc1(most))))


class SpatialGate(nn.Module):
    """The second half of CBAM: a 7x7 convolution over the mean and maximum of the channels (arXiv 1807.06521, 3.2)."""

    def __init__(self, kernel: int, dilation: int, bias: bool, norm: nn.Module | None) -> None:
        super().__init__()
        conv = bare(nn.Conv2d, 2, 1, kernel, padding=kernel // 2 * dilation, dilation=dilation, bias=bias)
        self.conv = nn.Sequential(OrderedDict(conv=conv, bn=norm if norm is not None else nn.Identity()))

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(maps))


class DropPath(nn.Module):
    """Drops the whole branch of a sample in training mode, and scales the branches that are kept (arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = torch.full((x.shape[0], 1, 1, 1), 1 - self.rate, dtype=x.dtype, device=x.device)
        return x * torch.bernoulli(keep) / (1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def _cbam(op: Op) -> nn.Module:
    gate = op.gate
    norms: dict[str, Callable[[], nn.Module]] = {
        "batch_norm": lambda: bare(nn.BatchNorm2d, 1),
        "frozen_norm": lambda: FrozenBatchNorm(1),
    }
    norm = norms[gate.norm]() if gate.norm else None
    halves = (
        ("channel", ChannelGate(op.c_out, gate.squeezed, gate.step)),
        ("spatial", SpatialGate(gate.kernel, gate.step, gate.bias, norm)),
    )
    return nn.Sequential(OrderedDict(halves))


def _act(kind: type[nn.Module], *, may_be_in_place: bool = False) -> Maker:
    def make(op: Op, in_place: bool) -> nn.Module:
        return kind(inplace=in_place) if may_be_in_place else kind()

    return make


def _simple(make: Callable[[Op], nn.Module]) -> Maker:
    return lambda op, in_place: make(op)


Maker = Callable[[Op, bool], nn.Module]
MAKERS: dict[str, Maker] = {
    "conv": _simple(
        lambda op: bare(nn.Conv2d, op.c_in, op.c_out, op.kernel, op.stride, op.padding, op.dilation, op.groups, op.bias)
    ),
    "batch_norm": _simple(lambda op: bare(nn.BatchNorm2d, op.c_out, eps=NORM_EPS)),
    "group_norm": _simple(lambda op: bare(nn.GroupNorm, op.groups, op.c_out, eps=NORM_EPS)),
    "frozen_norm": _simple(lambda op: FrozenBatchNorm(op.c_out)),
    "relu": _act(nn.ReLU, may_be_in_place=True),
    "leaky_relu": _act(nn.LeakyReLU, may_be_in_place=True),
    "silu": _act(nn.SiLU),
    "gelu": _act(nn.GELU),
    "hardswish": _act(nn.Hardswish),
    "max_pool": _simple(lambda op: nn.MaxPool2d(op.kernel, op.stride, op.padding, ceil_mode=op.ceil)),
    "avg_pool": _simple(lambda op: nn.AvgPool2d(op.kernel, op.stride, ceil_mode=op.ceil, count_include_pad=False)),
    "same_avg_pool": _simple(lambda op: SameAvgPool()),
    "dilated_avg_pool": _simple(lambda op: DilatedAvgPool(op.dilation)),
    "zero_pad": _simple(lambda op: ZeroPad(op.c_in, op.c_out, op.stride, op.padding)),
    "global_avg_pool": _simple(lambda op: nn.AdaptiveAvgPool2d((1, 1))),
    "linear": _simple(lambda op: bare(nn.Linear, op.c_in, op.c_out)),
    "dropout": _simple(lambda op: nn.Dropout(op.rate)),
    "drop_path": _simple(lambda op: DropPath(op.rate)),
    "se": _simple(lambda op: SqueezeExcite(op.c_out, op.gate.squeezed, op.gate.step)),
    "eca": _simple(lambda op: EfficientAttention(op.gate.kernel, op.gate.step)),
    "cbam": _simple(_cbam),
}


def module_of(op: Op, *, in_place: bool = True) -> nn.Module:
    """The torch module of an op, on the meta device. Joins are functions and stand in `blocks`."""
    return MAKERS[op.kind](op, in_place)


def sequence(ops: Sequence[Op], prefix: str) -> nn.Module | None:
    """The ops with the paths `prefix.0`, `prefix.1`, … as a Sequential (gaps are Identity), or the module of the op at `prefix`."""
    found = {
        op.path: op for op in ops if op.path is not None and (op.path == prefix or op.path.startswith(f"{prefix}."))
    }
    if prefix in found:
        return module_of(found[prefix])
    if not found:
        return None
    last = max(int(path.rpartition(".")[2]) for path in found)
    paths = [f"{prefix}.{number}" for number in range(last + 1)]
    return nn.Sequential(*(module_of(found[path]) if path in found else nn.Identity() for path in paths))
