"""One function for each kind of op: names, numbers and paddings. `kinds` derives the tensors from them."""

from __future__ import annotations

from math import gcd

from plusx.errors import SpecError
from plusx.graph.kinds import NORM_OF, gate_fields, with_tensors
from plusx.graph.model import Op
from plusx.i18n import _
from plusx.specs import ResNetSpec


def conv(
    path: str, c_in: int, c_out: int, kernel: int, *, bias: bool, stride: int = 1, dilation: int = 1, groups: int = 1,
    padded: bool = True, name: str | None = None,
) -> Op:  # fmt: skip
    """A convolution whose padding keeps the size at stride 1, or without padding (`padded=False`)."""
    if c_in % groups or c_out % groups:
        width, where = (c_out if c_out % groups else c_in), path.rpartition(".")[0].split(".")[0] or path
        allowed = ", ".join(str(n) for n in divisors(gcd(c_in, c_out)))
        raise SpecError(
            _("groups={groups} does not divide the branch width {width} of {where}. Allowed: {allowed}.",
              groups=groups, width=width, where=where, allowed=allowed)
        )  # fmt: skip
    padding = dilation * (kernel - 1) // 2 if padded else 0
    return with_tensors(Op(name or path, path, "conv", c_in, c_out, kernel, stride, padding, dilation, groups, bias))


def divisors(number: int) -> list[int]:
    """All divisors of a number, in rising order."""
    return [n for n in range(1, number + 1) if number % n == 0]


def norm(spec: ResNetSpec, path: str, channels: int) -> tuple[Op, ...]:
    """The spec's norm over so many channels; empty for norm=none."""
    if spec.norm == "none":
        return ()
    if spec.norm in NORM_OF and spec.norm != "group":
        return (with_tensors(Op(path, path, NORM_OF[spec.norm], channels, channels)),)
    groups = int(spec.norm.removeprefix("group") or 32)
    if channels % groups:
        allowed = ", ".join(str(n) for n in divisors(channels))
        raise SpecError(
            _("norm=group{groups} does not divide the {channels} channels of {norm}. Allowed numbers of groups: {allowed}.",
              groups=groups, channels=channels, norm=path, allowed=allowed)
        )  # fmt: skip
    return (with_tensors(Op(path, path, NORM_OF["group"], channels, channels, groups=groups)),)


def act(spec: ResNetSpec, name: str, channels: int, path: str | None = None) -> Op:
    """The spec's activation."""
    return Op(name, path or name, spec.act, channels, channels)


def dropout(kind: str, path: str, channels: int, rate: float) -> tuple[Op, ...]:
    """A dropout or drop_path; empty for a rate of 0."""
    return (Op(path, path, kind, channels, channels, rate=rate),) if rate else ()


def linear(path: str, c_in: int, c_out: int) -> Op:
    """A linear layer with biases."""
    return with_tensors(Op(path, path, "linear", c_in, c_out, bias=True))


def gate(spec: ResNetSpec, path: str, channels: int, step: int) -> tuple[Op, ...]:
    """The spec's gate over a branch, which averages over every `step`-th cell; empty for gate=none."""
    if spec.gate == "none":
        return ()
    op = Op(path, path, spec.gate, channels, channels, gate=gate_fields(spec, channels, step))
    return (with_tensors(op),)
