"""One function a kind of op: names, numbers and paddings are decided here; `kinds` says which tensors follow from them."""

from __future__ import annotations

from math import gcd

from plusx.errors import SpecError
from plusx.graph.kinds import NORM_OF, gate_fields, with_tensors
from plusx.graph.model import Op
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
    return with_tensors(Op(name or path, path, "conv", c_in, c_out, kernel, stride, padding, dilation, groups, bias))


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def norm(spec: ResNetSpec, path: str, channels: int) -> tuple[Op, ...]:
    """The norm of the spec over so many channels, or nothing."""
    if spec.norm == "none":
        return ()
    if spec.norm in NORM_OF and spec.norm != "group":
        return (with_tensors(Op(path, path, NORM_OF[spec.norm], channels, channels)),)
    groups = int(spec.norm.removeprefix("group") or 32)
    if channels % groups:
        allowed = ", ".join(str(n) for n in divisors(channels))
        raise SpecError(
            f"norm=group{groups} does not divide the {channels} channels of {path}; allowed there: {allowed}"
        )
    return (with_tensors(Op(path, path, NORM_OF["group"], channels, channels, groups=groups)),)


def act(spec: ResNetSpec, name: str, channels: int, path: str | None = None) -> Op:
    return Op(name, path or name, spec.act, channels, channels)


def dropout(kind: str, path: str, channels: int, rate: float) -> tuple[Op, ...]:
    return (Op(path, path, kind, channels, channels, rate=rate),) if rate else ()


def linear(path: str, c_in: int, c_out: int) -> Op:
    return with_tensors(Op(path, path, "linear", c_in, c_out, bias=True))


def gate(spec: ResNetSpec, path: str, channels: int, step: int) -> tuple[Op, ...]:
    """The spec's gate over a branch, squeezing over every `step`-th cell."""
    if spec.gate == "none":
        return ()
    op = Op(path, path, spec.gate, channels, channels, gate=gate_fields(spec, channels, step))
    return (with_tensors(op),)
