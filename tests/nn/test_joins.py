"""What each join is when the branch is silent, and whether a signal survives sixteen blocks of it."""

from __future__ import annotations

import pytest
import torch

import plusx
from plusx.nn.blocks import JOINS

STATES = {"add": 1.0, "mul": 0.0, "modulate": 1.0, "attend": 1.5}


@pytest.mark.parametrize("join", STATES)
def test_at_silent_branch(join):
    """F = 0: add and modulate are the identity, attend is 1.5 x, mul is zero."""
    x = torch.randn(4, 8, 3, 3)
    assert torch.equal(JOINS[join](torch.zeros_like(x), x), STATES[join] * x)


def test_joins_are_their_formulas():
    f, x = torch.tensor([0.3, -2.0]), torch.tensor([1.5, 4.0])
    sigmoid = 1 / (1 + (-f).exp())
    expected = {"add": f + x, "mul": f * x, "modulate": x * 2 * sigmoid, "attend": x * (1 + sigmoid), "plain": f}
    for name, value in expected.items():
        torch.testing.assert_close(JOINS[name](f, x), value)


def signal(join, blocks, seed):
    """Share of cells that are zero, and the gradient at the input, behind a chain of identity-shortcut blocks."""
    torch.manual_seed(seed)
    net = plusx.build(f"resnet20 depths={blocks} widths=16 shortcut=B join={join} classes=0").train()
    x = torch.randn(16, 3, 16, 16, requires_grad=True)
    out = net.forward_features(x)
    out.mean((2, 3)).square().sum().backward()
    return (out == 0).float().mean().item(), x.grad.abs().mean().item()


@pytest.mark.filterwarnings("ignore:join=mul")
@pytest.mark.parametrize("join, alive", [("add", True), ("modulate", True), ("attend", True), ("mul", False)])
def test_after_sixteen_blocks(join, alive):
    """F(x)*x taken literally dies: relu(F·x) zeroes half of what is left, block after block, until nothing is (docs/bend.md)."""
    for seed in range(3):
        zeros, gradient = signal(join, 16, seed)
        print(f"join={join}, 16 blocks, seed {seed}: {zeros:.0%} zeros, gradient at the input {gradient:.1e}")
        assert (zeros < 0.6 and gradient > 1e-4) if alive else (zeros == 1 and gradient == 0)


def test_build_warns_of_mul():
    with pytest.warns(UserWarning, match="vanishes in deep networks"):
        plusx.build("resnet34 join=mul")
