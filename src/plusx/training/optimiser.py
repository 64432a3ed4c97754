"""The optimisers with selective weight decay, their state by name, and the EMA of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from plusx.nn.freezing import param_groups
from plusx.training.lamb import Lamb
from plusx.training.recipe import Recipe


def make_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over all parameters of `network`; vectors (norms and biases) decay with `norm_decay` alone.

    Each group has `share`, by which its learning rate is multiplied: less than 1 below the head with `layer_decay`.
    A parameter without a gradient, which a frozen one is, does not change. `momentum` is beta1 of AdamW and LAMB; beta2 is
    0.999 and eps torch's 1e-8 for AdamW, timm's 1e-6 for LAMB.
    """
    groups = param_groups(
        network,
        recipe.lr,
        weight_decay=recipe.weight_decay,
        layer_decay=recipe.layer_decay,
        no_decay_on_norm_and_bias=not recipe.norm_decay,
    )
    for group in groups:
        group["share"] = group["lr"] / recipe.lr
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
    if recipe.optimiser == "lamb":
        return Lamb(groups, lr=recipe.lr, betas=(recipe.momentum, 0.999))
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov and recipe.momentum > 0
    )


MOMENTS = {"sgd": 1, "adamw": 2, "lamb": 2}
"""Tensors of a parameter's size that each optimiser keeps."""


def optimiser_tensors(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's whole state: `conv1.weight/momentum_buffer`, for AdamW and LAMB `…/exp_avg`, `…/step` and so on."""
    return {
        f"{name}/{slot}": value
        for name, p in network.named_parameters()
        for slot, value in optimiser.state.get(p, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(network: nn.Module, optimiser: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Takes over what `optimiser_tensors` gave. Raises KeyError for a parameter that the network does not have."""
    parameters = dict(network.named_parameters())
    for key, value in saved.items():
        name, _, slot = key.partition("/")
        p, slot = parameters[name], slot or "momentum_buffer"  # as checkpoints of before 2026-11-28 name it
        own = torch.empty_like(p).copy_(value) if value.shape == p.shape and slot != "step" else value.clone()
        optimiser.state[p][slot] = own


class EMA:
    """Exponential moving average of a network's parameters and running statistics.

    The decay rises from 0.1 as (1 + t) / (10 + t), so that early averages do not keep the random first weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: t.detach().clone() for name, t in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, now in network.state_dict().items():
            mean = self.tensors[name]
            if mean.is_floating_point():
                mean.lerp_(now, 1 - keep)
            else:
                mean.copy_(now)
