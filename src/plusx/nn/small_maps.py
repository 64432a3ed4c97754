"""Convolutions that torch's bf16 kernels get wrong on a CPU, computed in float32.

The weight gradient of a bf16 convolution on a CPU (torch 2.15, oneDNN) is read from memory that nobody wrote wherever a
tap of the kernel meets nothing but padding, e.g. 3x3 with stride 2 on a map of one cell, and for strided 1x1 kernels
whose output is one cell high or wide. Which numbers lie there depends on what ran before: NaN, or other weights in every
run. Both patterns came from 20,000 random shapes, computed on heaps filled with three different bytes. The rule below
also takes every map that is smaller than the kernel, since other processors have kernels of their own. Only maps of a
few cells are concerned, so float32 costs little there. Strides that differ along the axes are excluded too: the weight
gradient of a 1x1 convolution of stride (3, 1) writes beyond its memory and ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (torch.conv1d, torch.conv2d)


class SmallMapsInFloat32(TorchFunctionMode):
    """Inside, a bf16 autocast leaves out the convolutions for which `needs_float32` holds at the size they really get.

    The network itself stays as it is: nothing is wrapped, and its modules, names and printed form do not change.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _CONVOLUTIONS or not _is_small(*args, **kwargs):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_widened, args), **{key: _widened(value) for key, value in kwargs.items()})


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


def _is_small(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> bool:
    """Whether strides differ, or `needs_float32` holds along an axis; the arguments are those of torch.conv2d."""
    kernels = weight.shape[2:]
    axes = range(len(kernels))
    dilations = _each(dilation, axes)
    if isinstance(padding, str):  # "same" halves what the kernel reaches beyond one cell, "valid" pads nothing
        same = padding == "same"
        paddings = [d * (k - 1) // 2 if same else 0 for k, d in zip(kernels, dilations, strict=True)]
    else:
        paddings = _each(padding, axes)
    sides, strides = input.shape[-len(kernels) :], _each(stride, axes)
    return len(set(strides)) > 1 or any(
        needs_float32(*axis) for axis in zip(sides, kernels, strides, paddings, dilations, strict=True)
    )


def _each(value: int | Sequence[int], axes: range) -> Sequence[int]:
    if isinstance(value, int):
        return [value for _ in axes]
    return value if len(value) == len(axes) else [value[0] for _ in axes]


@lru_cache(maxsize=4096)
def needs_float32(side: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Whether, along one axis, a convolution's weight gradient cannot be trusted to bf16 on a CPU.

    >>> [needs_float32(side, 3, 2, 1, 1) for side in (1, 2, 3, 4, 7)]
    [True, True, False, False, False]
    >>> needs_float32(14, 1, 2, 0, 1), needs_float32(2, 1, 2, 0, 1)
    (False, True)
    """
    reach = dilation * (kernel - 1) + 1
    out = (side + 2 * padding - reach) // stride + 1
    if out <= 1 or reach > side:
        return True
    starts = range(-padding, out * stride - padding, stride)
    return any(not any(0 <= start + tap * dilation < side for start in starts) for tap in range(kernel))
