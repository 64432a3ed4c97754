"""Batch norm folded into the convolutions before it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from plusx.errors import SpecError
from plusx.graph import Op, lower
from plusx.graph.kinds import FIXED_NORMS, GATES
from plusx.i18n import _
from plusx.nn.layers import NORM_EPS
from plusx.nn.resnet import ResNet
from plusx.nn.transplant import transplant


def fold_norm(net: ResNet) -> ResNet:
    """The network with `norm=none`: each norm is folded into the convolution before it. Outputs in eval mode stay the same.

    A network without norms is returned as it is. Raises SpecError for pre-activation networks, in which the first norm of a
    block does not follow a convolution, and for group norm, which has no fixed statistics.
    """
    spec = net.spec
    if spec.norm == "none":
        return transplant(net, spec)
    if spec.order == "pre":
        raise SpecError(
            _("{spec} has order=pre, in which the first norm of a block follows a sum and cannot be folded. "
              "Keep its norms, or fold a post-activation network.", spec=str(spec))
        )  # fmt: skip
    if spec.norm.startswith("group"):
        raise SpecError(
            _("norm={norm} computes its statistics from each image and cannot be folded. Use a network with norm=batch or norm=frozen.",
              norm=spec.norm)
        )  # fmt: skip
    folded: dict[str, Tensor] = {}
    for conv, norm in _pairs(net):
        folded |= _fold(net, conv, norm)
    folded |= _fold_gates(net)
    return transplant(net, spec.replace(norm="none"), folded)


def _pairs(net: ResNet) -> list[tuple[Op, Op]]:
    """(convolution, norm) where the norm follows the convolution. Paths are listed one after another, so adjacent ops are enough."""
    ops = lower(net.spec).ops
    return [(a, b) for a, b in pairwise(ops) if a.kind == "conv" and b.kind in FIXED_NORMS]


def _fold(net: ResNet, conv: Op, norm: Op) -> dict[str, Tensor]:
    assert conv.path and norm.path
    weight, bias = folded(net.get_submodule(conv.path), net.get_submodule(norm.path))
    return {f"{conv.path}.weight": weight, f"{conv.path}.bias": bias}


def _fold_gates(net: ResNet) -> dict[str, Tensor]:
    """The folded tensors inside gates: CBAM has a convolution and a norm."""
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
