"""Logits of every image of a data set, counted: the one loop behind `plusx evaluate` and the evaluations within training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from plusx.data import Data
from plusx.data.prefetch import prefetch
from plusx.images import Preprocessing, resize_crop
from plusx.metrics import Counters, Evaluation

T = TypeVar("T")

BATCH = 64
"""Fixed, because the last bits of a logit may depend on it."""

OnLogits = Callable[[range, NDArray[np.float32]], None]
"""Called with the images of a batch and their logits, in this process."""
Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""float32 (n, classes) for uint8 (n, h, w, c) of the network's size, n ≤ BATCH."""


class Processes(Protocol):
    """The processes that share an evaluation; `training.distributed.ProcessGroup` is torch's."""

    @property
    def rank(self) -> int: ...
    @property
    def world_size(self) -> int: ...
    @property
    def local_world_size(self) -> int: ...
    @property
    def is_rank0(self) -> bool: ...
    def any_rank(self, flag: bool) -> bool: ...
    def all_reduce_counts(self, counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]: ...
    def run_on_all_ranks(self, work: Callable[[], T]) -> T: ...
    def rank0_then_others(self, work: Callable[[], T]) -> T: ...


@dataclass(frozen=True)
class OneProcess:
    """An evaluation by this process alone."""

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    is_rank0: bool = True

    def any_rank(self, flag: bool) -> bool:
        return flag

    def all_reduce_counts(self, counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        return np.array(counts, dtype=np.int64)

    def run_on_all_ranks(self, work: Callable[[], T]) -> T:
        return work()

    def rank0_then_others(self, work: Callable[[], T]) -> T:
        return work()


def never() -> bool:
    return False


def evaluate_logits(
    infer: Infer,
    data: Data,
    pre: Preprocessing,
    workers: int = 0,
    stopped: Callable[[], bool] = never,
    group: Processes = OneProcess(),
    on_logits: OnLogits | None = None,
) -> Evaluation | None:
    """The Evaluation of the logits that `infer` gives for every image of `data`; None if `stopped` returned true.

    With several processes each evaluates its share of the batches, and the counts are summed, so the result is that of
    one process to the last digit. Raises DataError for an image that cannot be read.
    """
    counters = Counters(data.classes)
    complete = group.run_on_all_ranks(lambda: _count(counters, infer, data, pre, workers, stopped, group, on_logits))
    if group.any_rank(not complete):
        return None
    counters.vector[:] = group.all_reduce_counts(counters.vector)
    return counters.result()


def _count(
    counters: Counters,
    infer: Infer,
    data: Data,
    pre: Preprocessing,
    workers: int,
    stopped: Callable[[], bool],
    group: Processes,
    on_logits: OnLogits | None,
) -> bool:
    """Counts this process's batches; False when it was stopped."""
    lows = range(0, len(data), BATCH)[group.rank :: group.world_size]
    spans = [range(low, min(low + BATCH, len(data))) for low in lows]

    def image(i: int) -> NDArray[np.uint8]:
        return resize_crop(data.read(i, pre.mode, pre.decode_px), pre)

    def batch(span: range, images: list[NDArray[np.uint8]]) -> tuple[range, NDArray[np.uint8]]:
        return span, np.stack(images)

    workers = 0 if data.images is not None else workers
    for span, images in prefetch(spans, image, batch, workers):
        if stopped():
            return False
        found = infer(images)
        counters.add(found, data.labels[span.start : span.stop])
        if on_logits is not None:
            on_logits(span, found)
    return True
