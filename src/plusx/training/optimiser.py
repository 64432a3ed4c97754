"""SGD with momentum and selective weight decay, and the EMA of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from plusx.nn.freezing import param_groups
from plusx.training.recipe import Recipe


def sgd(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD over all parameters of `network`; no decay on vectors (norms and biases).

    Each group has `share`, by which its learning rate is multiplied: less than 1 below the head with `layer_decay`.
    A parameter without a gradient, which a frozen one is, does not change.
    """
    groups = param_groups(network, recipe.lr, weight_decay=recipe.weight_decay, layer_decay=recipe.layer_decay)
    for group in groups:
        group["share"] = group["lr"] / recipe.lr
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov and recipe.momentum > 0
    )


def momentum_buffers(network: nn.Module, optimiser: torch.optim.SGD) -> dict[str, Tensor]:
    """The momentum of every parameter that has one, under the parameter's name."""
    found = {name: optimiser.state.get(p, {}).get("momentum_buffer") for name, p in network.named_parameters()}
    return {name: buffer for name, buffer in found.items() if buffer is not None}


def restore_momentum(network: nn.Module, optimiser: torch.optim.SGD, saved: Mapping[str, Tensor]) -> None:
    for name, p in network.named_parameters():
        if name in saved:
            optimiser.state[p]["momentum_buffer"] = torch.empty_like(p).copy_(saved[name])


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
