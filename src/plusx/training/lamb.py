"""LAMB: Adam whose step is scaled to each tensor's norm (You et al. 2020, arXiv 1904.00962, algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """LAMB as timm computes it (timm.optim.Lamb, which "ResNet strikes back" trained with), without its clipping.

    Both moments are corrected for their zero start. The decay joins the update before it is scaled. The scale is
    |p| / |update|, 1 where either norm is 0, and 1 for tensors without weight decay. `clip=1` in a recipe is timm's
    max_grad_norm.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if closure is not None:
            raise TypeError("Lamb takes no closure")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, p.grad, group)

    def _step(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        state["step"] += 1
        t = state["step"].item()
        mean = state["exp_avg"].lerp_(grad, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        update = mean / (1 - beta1**t) / ((square / (1 - beta2**t)).sqrt() + group["eps"])
        if group["weight_decay"]:
            update.add_(p, alpha=group["weight_decay"])
            ratio = p.norm() / update.norm()
            update *= torch.where(torch.isfinite(ratio) & (ratio > 0), ratio, 1.0)
        p.sub_(update, alpha=group["lr"])
