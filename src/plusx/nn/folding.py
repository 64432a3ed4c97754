"""Batch norm folded into the convolutions before it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from plusx.errors import SpecError
from plusx.graph import Op, lower
from plusx.graph.kinds import FIXED_NORMS, GATES
from plusx.nn.layers import NORM_EPS
from plusx.nn.resnet import ResNet
from plusx.nn.transplant import transplant


def fold_norm(net: ResNet) -> ResNet:
    """The network without norms, `norm=none`: each is folded into the convolution before it, and outputs in eval mode stay.

    A network that has none comes back as it is. Raises SpecError for pre-activation nets, where the first norm of a block
    follows a sum and no convolution, and for group norm, which has no fixed statistics.
    """
    spec = net.spec
    if spec.norm == "none":
        return transplant(net, spec)
    if spec.order == "pre":
        raise SpecError(
            f"{spec}: in order=pre the first norm of a block follows a sum, not a convolution, and cannot be folded; "
            "keep its norms (they cost nothing but memory traffic), or fold a post-activation net"
        )
    if spec.norm.startswith("group"):
        raise SpecError(
            f"norm={spec.norm} takes its statistics from each image and cannot be folded; only batch and frozen can"
        )
    folded: dict[str, Tensor] = {}
    for conv, norm in _pairs(net):
        folded |= _fold(net, conv, norm)
    folded |= _fold_gates(net)
    return transplant(net, spec.replace(norm="none"), folded)


def _pairs(net: ResNet) -> list[tuple[Op, Op]]:
    """(convolution, the norm right behind it). Branches and shortcuts end before the next one's first op, so order is enough."""
    ops = lower(net.spec).ops
    return [(a, b) for a, b in pairwise(ops) if a.kind == "conv" and b.kind in FIXED_NORMS]


def _fold(net: ResNet, conv: Op, norm: Op) -> dict[str, Tensor]:
    assert conv.path and norm.path
    weight, bias = folded(net.get_submodule(conv.path), net.get_submodule(norm.path))
    return {f"{conv.path}.weight": weight, f"{conv.path}.bias": bias}


def _fold_gates(net: ResNet) -> dict[str, Tensor]:
    """Gates such as CBAM keep a convolution and a norm of their own."""
    made: dict[str, Tensor] = {}
    for op in lower(net.spec).ops:
        for conv, norm in GATES[op.kind].folds if op.kind in GATES else ():
            weight, bias = folded(net.get_submodule(f"{op.path}.{conv}"), net.get_submodule(f"{op.path}.{norm}"))
            made |= {f"{op.path}.{conv}.weight": weight, f"{op.path}.{conv}.bias": bias}
    return made


@torch.no_grad()
def folded(conv: nn.Module, norm: nn.Module) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias of the convolution that computes norm(conv(x)) in eval mode, computed in float64, rounded once.

    w · γ/√(v+ε) and (b - m) · γ/√(v+ε) + β (arXiv 1502.03167, section 3.2, algorithm 2).
    """
    weight, bias = conv.get_parameter("weight"), getattr(conv, "bias", None)
    gamma, beta, mean, var = (
        getattr(norm, name).double() for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / torch.sqrt(var + getattr(norm, "eps", NORM_EPS))
    shift = beta + ((0 if bias is None else bias.double()) - mean) * scale
    trained = weight.requires_grad
    return (
        nn.Parameter((weight.double() * scale[:, None, None, None]).to(weight.dtype), requires_grad=trained),
        nn.Parameter(shift.to(weight.dtype), requires_grad=trained),
    )
