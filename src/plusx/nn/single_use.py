"""Blocks whose activations are used once and not in place, as hooks, heat maps and exporters need them.

The forward passes are those of `blocks`, with relu1, relu2 and relu3 instead of a shared relu.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from plusx.nn.blocks import BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck, finish
from plusx.nn.resnet import ResNet
from plusx.nn.sharing import shared_copy


def is_single_use(net: ResNet) -> bool:
    """Whether the activations of the network are used once."""
    return any(hasattr(block, "relu1") for stage in net.stage_names for block in getattr(net, stage))


def split_activations(net: ResNet) -> None:
    """Replaces each block by its single-use form, which holds the same modules. No activation works in place any more."""
    for stage in net.stage_names:
        layers = getattr(net, stage)
        for number, block in enumerate(layers):
            layers[number] = SINGLE_USE[type(block)](block)
    for module in net.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]


class _SingleUseBlock(nn.Module):
    """The modules of a block under their names, with a separate activation for each use."""

    conv1: nn.Module
    conv2: nn.Module
    conv3: nn.Module
    bn1: nn.Module
    bn2: nn.Module
    bn3: nn.Module
    relu1: nn.Module
    relu2: nn.Module
    relu3: nn.Module

    def __init__(self, block: Any, *order: str) -> None:
        super().__init__()
        for name in order:
            setattr(self, name, _copy_of(block.relu) if name.startswith("relu") else getattr(block, name))
        self.dropout, self.se, self.drop_path = block.dropout, block.se, block.drop_path
        self.downsample, self.join = block.downsample, block.join
        self.training = block.training


def _copy_of(act: nn.Module) -> nn.Module:
    """An activation of the same kind, not in place. The activations of plusx have no tensors."""
    new = type(act)()
    new.training = act.training
    return new


class SingleUseBasicBlock(_SingleUseBlock):
    def __init__(self, block: BasicBlock) -> None:
        super().__init__(block, "conv1", "bn1", "relu1", "conv2", "bn2", "relu2")

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu1(self.bn1(self.conv1(x)))
        if self.dropout is not None:
            out = self.dropout(out)
        out = finish(self.bn2(self.conv2(out)), self.se, self.drop_path)
        return self.relu2(self.join(out, shortcut))


class SingleUseBottleneck(_SingleUseBlock):
    def __init__(self, block: Bottleneck) -> None:
        super().__init__(block, "conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "conv3", "bn3", "relu3")

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        if self.dropout is not None:
            out = self.dropout(out)
        out = finish(self.bn3(self.conv3(out)), self.se, self.drop_path)
        return self.relu3(self.join(out, shortcut))


class SingleUsePreActBasicBlock(_SingleUseBlock):
    def __init__(self, block: PreActBasicBlock) -> None:
        super().__init__(block, "bn1", "relu1", "conv1", "bn2", "relu2", "conv2")

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(out)
        out = self.relu2(self.bn2(self.conv1(out)))
        if self.dropout is not None:
            out = self.dropout(out)
        return self.join(finish(self.conv2(out), self.se, self.drop_path), shortcut)


class SingleUsePreActBottleneck(_SingleUseBlock):
    def __init__(self, block: PreActBottleneck) -> None:
        super().__init__(block, "bn1", "relu1", "conv1", "bn2", "relu2", "conv2", "bn3", "relu3", "conv3")

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(out)
        out = self.relu2(self.bn2(self.conv1(out)))
        out = self.relu3(self.bn3(self.conv2(out)))
        if self.dropout is not None:
            out = self.dropout(out)
        return self.join(finish(self.conv3(out), self.se, self.drop_path), shortcut)


SINGLE_USE: dict[type[nn.Module], type[nn.Module]] = {
    BasicBlock: SingleUseBasicBlock,
    Bottleneck: SingleUseBottleneck,
    PreActBasicBlock: SingleUsePreActBasicBlock,
    PreActBottleneck: SingleUsePreActBottleneck,
}


def single_use_activations(net: ResNet) -> ResNet:
    """The same network with `relu1`, `relu2`, `relu3` in each block, each used once and not in place. Keys and tensors are the same.

    >>> from plusx import build
    >>> single_use_activations(build("resnet18")).layer1[0].relu2
    ReLU()
    """
    new = shared_copy(net)
    if not is_single_use(new):
        split_activations(new)
    return new
