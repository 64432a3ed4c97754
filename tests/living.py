"""Networks whose statistics are alive, and the proof that a reference is: without it, two dead nets would agree."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def enliven(net: nn.Module, seed: int = 0) -> nn.Module:
    """Means N(0, .2), variances U(.5, 1.5), weights of norms U(.5, 1.5), biases N(0, .1); in eval mode."""
    make = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if getattr(module, "running_var", None) is not None:
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=make) * 0.2)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=make) + 0.5)
        if isinstance(module, nn.GroupNorm | nn.BatchNorm2d) or hasattr(module, "running_var"):
            module.weight.copy_(torch.rand(module.weight.shape, generator=make) + 0.5)
            module.bias.copy_(torch.randn(module.bias.shape, generator=make) * 0.1)
        elif isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear) and module.bias is not None:
            module.bias.copy_(torch.randn(module.bias.shape, generator=make) * 0.1)
    return net.eval()


def assert_alive(out: Tensor, other: Tensor) -> None:
    """`out` is finite, varied, and not what another input gives."""
    assert torch.isfinite(out).all(), "the reference is not finite"
    assert out.std() > 1e-4 * out.abs().max(), "the reference is constant"
    assert out.abs().max() > 1e-6, "the reference is zero"
    assert relative(out, other) > 1e-3, "the reference does not depend on its input"


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference over the largest value; NaN counts as infinite."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} is not {tuple(theirs.shape)}"
    difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    return difference if difference == difference else float("inf")
