"""The four residual blocks, with the forward passes of the papers. All numbers come from the block of the graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from plusx.graph import Block
from plusx.nn.layers import module_of, sequence

Join = Callable[[Tensor, Tensor], Tensor]


def add(branch: Tensor, x: Tensor) -> Tensor:
    return branch + x


def mul(branch: Tensor, x: Tensor) -> Tensor:
    return branch * x


def modulate(branch: Tensor, x: Tensor) -> Tensor:
    return x * (2 * torch.sigmoid(branch))


def attend(branch: Tensor, x: Tensor) -> Tensor:
    return x * (1 + torch.sigmoid(branch))


def plain(branch: Tensor, x: Tensor) -> Tensor:
    return branch


JOINS: dict[str, Join] = {"add": add, "mul": mul, "modulate": modulate, "attend": attend, "plain": plain}


class BlockModules:
    """The modules of a graph block by local name. An absent norm is an Identity; any other absent module is None."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.join = JOINS[block.join.kind if block.join else "plain"]
        self.downsample = sequence(block.shortcut, f"{block.name}.downsample")

    def required(self, name: str) -> nn.Module:
        op = self.block.find(name)
        if op is None:
            raise LookupError(f"{self.block.name} has no {name}")
        return module_of(op)

    def norm(self, name: str) -> nn.Module:
        op = self.block.find(name)
        return nn.Identity() if op is None else module_of(op)

    def optional(self, name: str) -> nn.Module | None:
        op = self.block.find(name)
        return None if op is None else module_of(op)

    def act(self) -> nn.Module:
        """The activation that the block shares. It works in place, except where its input is that of the block (no norm before it)."""
        op = self.block.find("relu1")
        if op is None:
            raise LookupError(f"{self.block.name} has no activation")
        return module_of(op, in_place=(self.block.before or self.block.branch)[0] is not op)


def finish(out: Tensor, gate: nn.Module | None, drop_path: nn.Module | None) -> Tensor:
    """The output of a branch after its gate and its drop path, where it has them."""
    if gate is not None:
        out = gate(out)
    return out if drop_path is None else drop_path(out)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (arXiv 1512.03385, figure 5 left): (n, c_in, h, w) to (n, c_out, h', w')."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        modules = BlockModules(block)
        self.conv1, self.bn1 = modules.required("conv1"), modules.norm("bn1")
        self.relu = modules.act()
        self.conv2, self.bn2 = modules.required("conv2"), modules.norm("bn2")
        self.dropout, self.se, self.drop_path = (
            modules.optional("dropout"),
            modules.optional("se"),
            modules.optional("drop_path"),
        )
        self.downsample, self.join = modules.downsample, modules.join

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        if self.dropout is not None:
            out = self.dropout(out)
        out = finish(self.bn2(self.conv2(out)), self.se, self.drop_path)
        return self.relu(self.join(out, shortcut))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut (arXiv 1512.03385, figure 5 right): (n, c_in, h, w) to (n, c_out, h', w')."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        modules = BlockModules(block)
        self.conv1, self.bn1 = modules.required("conv1"), modules.norm("bn1")
        self.conv2, self.bn2 = modules.required("conv2"), modules.norm("bn2")
        self.conv3, self.bn3 = modules.required("conv3"), modules.norm("bn3")
        self.relu = modules.act()
        self.dropout, self.se, self.drop_path = (
            modules.optional("dropout"),
            modules.optional("se"),
            modules.optional("drop_path"),
        )
        self.downsample, self.join = modules.downsample, modules.join

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        if self.dropout is not None:
            out = self.dropout(out)
        out = finish(self.bn3(self.conv3(out)), self.se, self.drop_path)
        return self.relu(self.join(out, shortcut))


class PreActBasicBlock(nn.Module):
    """Norm and activation before each of two 3x3 convolutions; a projection reads the activated tensor (arXiv 1603.05027)."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        modules = BlockModules(block)
        self.bn1, self.conv1 = modules.norm("bn1"), modules.required("conv1")
        self.bn2, self.conv2 = modules.norm("bn2"), modules.required("conv2")
        self.relu = modules.act()
        self.dropout, self.se, self.drop_path = (
            modules.optional("dropout"),
            modules.optional("se"),
            modules.optional("drop_path"),
        )
        self.downsample, self.join = modules.downsample, modules.join

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(out)
        out = self.relu(self.bn2(self.conv1(out)))
        if self.dropout is not None:
            out = self.dropout(out)
        return self.join(finish(self.conv2(out), self.se, self.drop_path), shortcut)


class PreActBottleneck(nn.Module):
    """Norm and activation before each of 1x1, 3x3, 1x1; a projection reads the activated tensor (arXiv 1603.05027)."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        modules = BlockModules(block)
        self.bn1, self.conv1 = modules.norm("bn1"), modules.required("conv1")
        self.bn2, self.conv2 = modules.norm("bn2"), modules.required("conv2")
        self.bn3, self.conv3 = modules.norm("bn3"), modules.required("conv3")
        self.relu = modules.act()
        self.dropout, self.se, self.drop_path = (
            modules.optional("dropout"),
            modules.optional("se"),
            modules.optional("drop_path"),
        )
        self.downsample, self.join = modules.downsample, modules.join

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(out)
        out = self.relu(self.bn2(self.conv1(out)))
        out = self.relu(self.bn3(self.conv2(out)))
        if self.dropout is not None:
            out = self.dropout(out)
        return self.join(finish(self.conv3(out), self.se, self.drop_path), shortcut)


BLOCKS: dict[tuple[str, str], type[nn.Module]] = {
    ("basic", "post"): BasicBlock,
    ("bottleneck", "post"): Bottleneck,
    ("basic", "pre"): PreActBasicBlock,
    ("bottleneck", "pre"): PreActBottleneck,
}
