"""Evaluation of a torch network in memory: the training loop's own, with the numbers that `plusx evaluate` gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from plusx.bundles import Bundle, open_weights
from plusx.data import Data
from plusx.evaluation.counting import BATCH, evaluate_logits, never
from plusx.evaluation.held_out import open_held_out
from plusx.images import Preprocessing, normalise
from plusx.metrics import Evaluation
from plusx.nn import ResNet, build
from plusx.specs import ResNetSpec
from plusx.training.distributed import SINGLE_PROCESS, ProcessGroup, process_group
from plusx.training.machine import count_threads, pick_device, using_threads

__all__ = ["BATCH", "evaluate", "evaluate_model", "load_network", "logits"]


def evaluate_model(
    network: nn.Module,
    data: Data,
    pre: Preprocessing,
    device: torch.device,
    workers: int = 0,
    stopped: Callable[[], bool] = never,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Evaluation | None:
    """The Evaluation of `network`, which is in eval mode, on every image of `data`; see `evaluate_logits`."""
    return evaluate_logits(lambda images: logits(network, images, pre, device), data, pre, workers, stopped, group)


def logits(
    network: nn.Module, images: NDArray[np.uint8], pre: Preprocessing, device: torch.device
) -> NDArray[np.float32]:
    """float32 (n, classes) for uint8 (n, h, w, c) of the network's size."""
    with torch.inference_mode():
        return network(torch.from_numpy(normalise(images, pre)).to(device)).float().cpu().numpy()


def load_network(source: str | Path, device: torch.device, weights: str = "best") -> tuple[ResNet, Bundle]:
    """The network of a bundle or run with its best, last or ema weights, in eval mode, and `open_weights`' bundle.

    Raises BundleError.
    """
    bundle, tensors = open_weights(source, weights)
    network = build(ResNetSpec.from_dict(bundle.spec), tensors).to(device).eval()
    network.preprocessing = bundle.preprocessing
    return network, bundle


def evaluate(
    source: str | Path,
    data: str | Path | Data,
    *,
    weights: str = "best",
    device: str = "auto",
    threads: int | None = None,
    workers: int = 0,
) -> Evaluation:
    group = process_group(device)
    on = pick_device(device, group)
    network, bundle = load_network(source, on, weights)
    had = bundle.provenance.get("threads")
    data = data if isinstance(data, Data) else open_held_out(data, bundle)[0]
    with using_threads(count_threads(threads, had if isinstance(had, int) else None)):
        found = evaluate_model(network, data, bundle.preprocessing, on, workers, group=group)
    if found is None:
        raise RuntimeError("an evaluation that nobody can stop was stopped")
    return found
