"""A network block by block, in the order of computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from plusx.nn.resnet import ResNet


def blocks(net: ResNet) -> Iterator[tuple[str, nn.Module]]:
    """(`layer1.0`, block) and so on."""
    for stage in net.stage_names:
        for number, block in enumerate(getattr(net, stage)):
            yield f"{stage}.{number}", block


def steps(net: ResNet) -> Iterator[tuple[tuple[str, ...], Callable[[Tensor], Tensor]]]:
    """(names of the map that the step makes, the step): the stem, then block by block."""
    yield ("stem",), net.forward_stem
    for stage in net.stage_names:
        layers = getattr(net, stage)
        for number, block in enumerate(layers):
            end = (stage,) if number == len(layers) - 1 else ()
            yield (f"{stage}.{number}", *end), block
