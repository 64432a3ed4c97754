"""Evaluation of a torch network in memory: the training loop's own, with the numbers that `plusx evaluate` gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from plusx.data import Data
from plusx.evaluation.counting import BATCH, evaluate_logits, never
from plusx.images import Preprocessing, normalise
from plusx.metrics import Evaluation, Mistakes
from plusx.training.distributed import SINGLE_PROCESS, ProcessGroup

__all__ = ["BATCH", "Evaluate", "evaluate_model", "logits"]

PIXELS = 16 * 224 * 224
"""Of the images that are evaluated at once, so that an evaluation in float32 needs no more memory than a step."""
Evaluate: TypeAlias = Callable[[nn.Module, Callable[[], bool]], Evaluation | None]
"""The Evaluation of a network in eval mode on the validation part; None when the second argument says to stop."""


def evaluate_model(
    network: nn.Module,
    data: Data,
    pre: Preprocessing,
    device: torch.device,
    workers: int = 0,
    stopped: Callable[[], bool] = never,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Evaluation | None:
    """The Evaluation of `network`, which is in eval mode, on every image of `data`, with its mistakes; see `evaluate_logits`."""
    seen = Mistakes()
    found = evaluate_logits(
        lambda images: logits(network, images, pre, device), data, pre, workers, stopped, group,
        lambda span, scores: seen.add(span, scores, data.labels[span.start : span.stop]),
    )  # fmt: skip
    if found is None:
        return None
    for others in group.all_gather(seen.found):
        seen.merge(others)
    return replace(found, mistakes=seen.result())


def logits(
    network: nn.Module, images: NDArray[np.uint8], pre: Preprocessing, device: torch.device
) -> NDArray[np.float32]:
    """float32 (n, classes) for uint8 (n, h, w, c) of the network's size."""
    n, h, w, _ = images.shape
    most = max(1, PIXELS // (h * w))
    with torch.inference_mode():
        parts = (torch.from_numpy(normalise(images[low : low + most], pre)) for low in range(0, n, most))
        return np.concatenate([network(part.to(device)).float().cpu().numpy() for part in parts])
