"""The blocks of a network in the order of computation, and a computation that begins behind one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from plusx.nn.resnet import ResNet


def blocks(net: ResNet) -> Iterator[tuple[str, nn.Module]]:
    """Each block with its name, like `layer1.0`."""
    for stage in net.stage_names:
        for number, block in enumerate(getattr(net, stage)):
            yield f"{stage}.{number}", block


def steps(net: ResNet) -> Iterator[tuple[tuple[str, ...], Callable[[Tensor], Tensor]]]:
    """The stem and each block as steps, each with the names of the feature map that it returns."""
    yield ("stem",), net.forward_stem
    for stage in net.stage_names:
        layers = getattr(net, stage)
        for number, block in enumerate(layers):
            end = (stage,) if number == len(layers) - 1 else ()
            yield (f"{stage}.{number}", *end), block


def forward_after(net: ResNet, part: str, x: Tensor) -> Tensor:
    """The map after `part` (`stem`, `layer3`, `layer3.4`), (n, c, h, w), to the network's output: its later layers alone."""
    reached = False
    for names, step in steps(net):
        if reached:
            x = step(x)
        reached = reached or part in names
    return net.forward_head(x)
