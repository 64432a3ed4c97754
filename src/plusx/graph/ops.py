"""One function a kind of op: names, tensors and paddings are decided here."""

from __future__ import annotations

from dataclasses import replace
from math import gcd, log2

from plusx.errors import SpecError
from plusx.graph.model import Op, Tensor
from plusx.specs import ResNetSpec


def conv(
    path: str, c_in: int, c_out: int, kernel: int, *, bias: bool, stride: int = 1, dilation: int = 1, groups: int = 1,
    padded: bool = True, name: str | None = None,
) -> Op:  # fmt: skip
    """A convolution whose padding keeps the size at stride 1, or none at all (`padded=False`)."""
    if c_in % groups or c_out % groups:
        width, where = (c_out if c_out % groups else c_in), path.rpartition(".")[0].split(".")[0] or path
        allowed = ", ".join(str(n) for n in divisors(gcd(c_in, c_out)))
        raise SpecError(f"groups={groups} does not divide the branch width {width} of {where}; allowed: {allowed}")
    padding = dilation * (kernel - 1) // 2 if padded else 0
    tensors = (Tensor("weight", (c_out, c_in // groups, kernel, kernel)),)
    if bias:
        tensors += (Tensor("bias", (c_out,)),)
    return Op(name or path, path, "conv", c_in, c_out, kernel, stride, padding, dilation, groups, bias, False, tensors)


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def norm(spec: ResNetSpec, path: str, channels: int) -> tuple[Op, ...]:
    """The norm of the spec over so many channels, or nothing."""
    affine, statistics = (channels,), ("running_mean", "running_var")
    if spec.norm == "none":
        return ()
    if spec.norm == "frozen":
        names = ("weight", "bias", *statistics)
        return (
            Op(path, path, "frozen_norm", channels, channels, tensors=tuple(Tensor(n, affine, False) for n in names)),
        )
    trained = (Tensor("weight", affine), Tensor("bias", affine))
    if spec.norm == "batch":
        buffers = (*(Tensor(n, affine, False) for n in statistics), Tensor("num_batches_tracked", (), False))
        return (Op(path, path, "batch_norm", channels, channels, tensors=trained + buffers),)
    groups = int(spec.norm.removeprefix("group") or 32)
    if channels % groups:
        allowed = ", ".join(str(n) for n in divisors(channels))
        raise SpecError(
            f"norm=group{groups} does not divide the {channels} channels of {path}; allowed there: {allowed}"
        )
    return (Op(path, path, "group_norm", channels, channels, groups=groups, tensors=trained),)


def act(spec: ResNetSpec, name: str, channels: int, path: str | None = None) -> Op:
    return Op(name, path or name, spec.act, channels, channels)


def dropout(kind: str, path: str, channels: int, rate: float) -> tuple[Op, ...]:
    return (Op(path, path, kind, channels, channels, rate=rate),) if rate else ()


def linear(path: str, c_in: int, c_out: int) -> Op:
    tensors = (Tensor("weight", (c_out, c_in)), Tensor("bias", (c_out,)))
    return Op(path, path, "linear", c_in, c_out, bias=True, tensors=tensors)


def gate(spec: ResNetSpec, path: str, channels: int, step: int) -> tuple[Op, ...]:
    """The spec's gate over a branch, squeezing over every `step`-th cell; tensors named as in timm's layers."""
    if spec.gate == "none":
        return ()
    if spec.gate == "eca":
        kernel = eca_kernel(channels)
        tensors = (Tensor("conv.weight", (1, 1, kernel)),)
        return (Op(path, path, "eca", channels, channels, kernel, dilation=step, tensors=tensors),)
    squeezed = gate_width(spec, channels)
    weights = (Tensor("fc1.weight", (squeezed, channels, 1, 1)), Tensor("fc2.weight", (channels, squeezed, 1, 1)))
    if spec.gate == "se":
        biases = (Tensor("fc1.bias", (squeezed,)), Tensor("fc2.bias", (channels,)))
        tensors = (weights[0], biases[0], weights[1], biases[1])
        return (Op(path, path, "se", channels, channels, dilation=step, bias=True, tensors=tensors),)
    channel = tuple(t._replace(name=f"channel.{t.name}") for t in weights)
    spatial = (Tensor("spatial.conv.conv.weight", (1, 2, 7, 7)), *(
        t._replace(name=f"spatial.conv.bn.{t.name}") for op in norm_like(spec) for t in op.tensors))  # fmt: skip
    if spec.norm == "none":
        spatial += (Tensor("spatial.conv.conv.bias", (1,)),)
    bias = spec.norm == "none"
    return (Op(path, path, "cbam", channels, channels, 7, dilation=step, bias=bias, tensors=channel + spatial),)


def norm_like(spec: ResNetSpec) -> tuple[Op, ...]:
    """CBAM's norm over its one spatial channel: batch norm, frozen where the network's is, none where it has none."""
    kind = spec.norm if spec.norm in ("batch", "frozen", "none") else "batch"
    return norm(replace(spec, norm=kind), "bn", 1)


def gate_width(spec: ResNetSpec, channels: int) -> int:
    """Squeezed width, rounded to a multiple of 8 (timm layers/helpers.py make_divisible, round_limit 0)."""
    wanted = channels / int(spec.gate_ratio.removeprefix("1/"))
    return max(8, int(wanted + 4) // 8 * 8)


def eca_kernel(channels: int) -> int:
    """Odd kernel near log2(c)/2 + 1/2, at least 3 (arXiv 1910.03151, section 3.2.3, gamma 2, b 1)."""
    size = int(abs(log2(channels) + 1) / 2)
    return max(size if size % 2 else size + 1, 3)
