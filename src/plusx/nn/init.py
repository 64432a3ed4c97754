"""Initialisation of new networks."""

from __future__ import annotations

import torch
from torch import nn

from plusx.nn.resnet import ResNet
from plusx.specs import ResNetSpec


def initialise(net: ResNet) -> None:
    """Initialises convolutions He-normal by fan out, norms with 1 and 0, and fc as torch does (torchvision resnet.py ResNet.__init__)."""
    initialise_modules(net)
    if net.spec.zero_init:
        zero_branches(net)


@torch.no_grad()
def initialise_modules(root: nn.Module) -> None:
    """The same initialisation for any module: a block, a gate, a head."""
    for module in root.modules():
        if isinstance(module, nn.Conv2d | nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
        elif hasattr(module, "running_var"):  # FrozenBatchNorm
            for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
                getattr(module, name).fill_(value)


def zero_branches(net: ResNet) -> None:
    """Sets every branch of the network to zero."""
    for stage in net.stage_names:
        for block in getattr(net, stage):
            zero_branch(block, net.spec)


def zero_branch(block: nn.Module, spec: ResNetSpec) -> None:
    """Sets a branch to zero by the weight of its last norm, or of its last convolution where no norm follows it."""
    convs = 2 if spec.block == "basic" else 3
    last = getattr(block, f"bn{convs}") if spec.order == "post" else None
    last = last if hasattr(last, "weight") else getattr(block, f"conv{convs}")
    nn.init.zeros_(last.weight)  # type: ignore[union-attr, arg-type]
