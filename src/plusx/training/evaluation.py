"""Evaluating a network: the same function, numbers and number format within a training and after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from plusx.bundles import Bundle, open_weights
from plusx.data import Data
from plusx.evaluation.held_out import open_held_out
from plusx.images import Preprocessing, normalise, resize_crop
from plusx.metrics import Counters, Evaluation
from plusx.nn import ResNet, build
from plusx.training.ahead import ahead
from plusx.training.machine import count_threads, pick_device, using_threads
from plusx.training.world import ALONE, World, here

BATCH = 64
"""Fixed, because the last bits of a logit may depend on it."""


def _never() -> bool:
    return False


def _nobody(done: int) -> None:
    pass


def judge(
    network: nn.Module,
    data: Data,
    pre: Preprocessing,
    device: torch.device,
    workers: int = 0,
    stopped: Callable[[], bool] = _never,
    seen: Callable[[int], None] = _nobody,
    world: World = ALONE,
) -> Evaluation | None:
    """The Evaluation of `network`, in evaluation mode, on every image of `data` once; None if `stopped` said so.

    Several processes take turns at the batches, each image is one process's, and the counts are summed: the same
    numbers as of one process, to the digit. `seen` hears how many images are done here. Raises DataError for a
    image that cannot be read.
    """
    counters = Counters(data.classes)
    whole = world.together(lambda: _count(counters, network, data, pre, device, workers, stopped, seen, world))
    if world.any(not whole):
        return None
    counters.vector[:] = world.sum_counts(counters.vector)
    return counters.result()


def _count(
    counters: Counters,
    network: nn.Module,
    data: Data,
    pre: Preprocessing,
    device: torch.device,
    workers: int,
    stopped: Callable[[], bool],
    seen: Callable[[int], None],
    world: World,
) -> bool:
    """Counts this process's batches; False when it was stopped."""
    done, lows = 0, range(0, len(data), BATCH)[world.rank :: world.size]
    spans = [range(low, min(low + BATCH, len(data))) for low in lows]

    def image(i: int) -> NDArray[np.uint8]:
        return resize_crop(data.read(i, pre.mode, pre.decode_px), pre)

    workers = 0 if data.images is not None else workers
    for span, images in ahead(((span, list(span)) for span in spans), image, workers):
        if stopped():
            return False
        counters.add(logits(network, np.stack(images), pre, device), data.labels[span.start : span.stop])
        done += len(images)
        seen(done)
    return True


def logits(
    network: nn.Module, images: NDArray[np.uint8], pre: Preprocessing, device: torch.device
) -> NDArray[np.float32]:
    """float32 (n, classes) for uint8 (n, h, w, c) of the network's size."""
    with torch.inference_mode():
        return network(torch.from_numpy(normalise(images, pre)).to(device)).float().cpu().numpy()


def load_network(source: str | Path, device: torch.device, weights: str = "best") -> tuple[ResNet, Bundle]:
    """The network of a bundle or run with its best, last or ema weights, ready to answer, and `open_weights`' bundle.

    Raises BundleError.
    """
    bundle, tensors = open_weights(source, weights)
    network = build(bundle.spec, tensors).to(device).eval()
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
    seen: Callable[[int], None] = _nobody,
) -> Evaluation:
    """The Evaluation of a bundle or run on `data`; on the run's own, what the training reported, to the digit.

    `weights`: best (the bundle's), or last or ema of the run's newest checkpoint. A path means what it does for `fit`; of
    the run's own images only the held-out share counts (`open_held_out`). `threads` None: as many as the training had,
    for sums may round otherwise. Under torchrun the processes share the work, and each has the whole answer. Raises
    BundleError, DataError, SpecError.
    """
    world = here(device)
    on = pick_device(device, world)
    network, bundle = load_network(source, on, weights)
    had = bundle.provenance.threads
    data = data if isinstance(data, Data) else open_held_out(data, bundle)[0]
    with using_threads(count_threads(threads, had)):
        found = judge(network, data, bundle.preprocessing, on, workers, seen=seen, world=world)
    if found is None:
        raise RuntimeError("an evaluation that nobody can stop was stopped")
    return found
