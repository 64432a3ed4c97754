"""Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): less memory for about a third more computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from plusx.nn.resnet import ResNet
from plusx.nn.traversal import blocks


def checkpoint_blocks(net: ResNet, computing: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
    """Lets each block of `net`, in place, keep its input alone in training, and compute the rest again in the backward pass.

    `computing` is the context that the forward pass runs in, which the backward pass enters anew (autocast with its rules).
    Gradients, statistics of norms and counts of batches are the same bits as without: the second computation draws the
    same random numbers, and updates no norm.
    """
    for _name, block in blocks(net):
        if not isinstance(block.forward, _Checkpointed):
            block.forward = _Checkpointed(block, block.forward, computing)


@dataclass(frozen=True, eq=False)
class _Checkpointed:
    block: nn.Module
    forward: Callable[[Tensor], Tensor]
    computing: Callable[[], AbstractContextManager[object]]

    def __call__(self, x: Tensor) -> Tensor:
        if not (self.block.training and torch.is_grad_enabled()):
            return self.forward(x)
        return checkpoint(self.forward, x, use_reentrant=False, context_fn=self._contexts)  # type: ignore[no-any-return]

    def _contexts(self) -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
        return nullcontext(), self._again()

    @contextmanager
    def _again(self) -> Iterator[None]:
        """The second computation: norms of the training update copies of their statistics, which nobody keeps."""
        norms = [m for m in self.block.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
        kept = [dict(norm.named_buffers()) for norm in norms]
        try:
            for norm, buffers in zip(norms, kept, strict=True):
                for name, buffer in buffers.items():
                    setattr(norm, name, buffer.clone())
            with self.computing():
                yield
        finally:
            for norm, buffers in zip(norms, kept, strict=True):
                for name, buffer in buffers.items():
                    setattr(norm, name, buffer)
