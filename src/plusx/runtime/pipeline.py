"""Images through decoding and a network, in order, with bounded memory.

Each of `workers` threads takes images, decodes them and then waits while the engine computes them on the worker's
share of the cores. So at any moment as many threads are busy as there are cores, whichever of the two takes longer;
splitting the cores between decoders and engine would leave one side waiting for the other.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError
from plusx.images import Preprocessing, decode, read_file, resize_crop
from plusx.runtime.engine import Engine
from plusx.runtime.inputs import Item

log = logging.getLogger("plusx")

FEW_LEVELS = 1 << 14
"""Largest values below this, in images of 16 bits, are worth a note: scanners and detectors give 12 or 14 bits."""
AHEAD = 4
"""Groups a worker may be ahead of what was taken: enough to hide one slow image, few enough to hold little memory."""
Answer = NDArray[np.float32]
Row = tuple[str, str | None, Answer | None]
"""Name, why there is no answer (or None), answer (or None)."""


class Pipeline:
    """Runs items through an engine; safe to use again and again, one run at a time."""

    def __init__(self, engine: Engine, pre: Preprocessing, *, exact_decode: bool = False) -> None:
        self.engine, self.pre, self.exact_decode = engine, pre, exact_decode
        self._told = False

    def run(self, items: Iterable[Item]) -> Iterator[Row]:
        """One row an item, in order. An image that cannot be read is a row with its reason; the rest goes on."""
        plan, source = self.engine.plan, iter(items)
        waiting: deque[Future[list[Row]]] = deque()
        pool = ThreadPoolExecutor(plan.workers, thread_name_prefix="plusx")
        try:
            while group := list(islice(source, plan.batch)):
                waiting.append(pool.submit(self._work, group))
                while len(waiting) >= AHEAD * plan.workers or (waiting and waiting[0].done()):
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _work(self, group: list[Item]) -> list[Row]:
        read = [self._read(item) for item in group]
        good = [image for image in read if not isinstance(image, str)]
        answers = iter(self.engine.infer(np.stack(good)) if good else ())
        return [
            (item.name, found, None) if isinstance(found, str) else _judged(item.name, next(answers))
            for item, found in zip(group, read, strict=True)
        ]

    def _read(self, item: Item) -> NDArray[np.uint8] | str:
        """An image at the network's size, or the reason why not."""
        if item.source is None:
            return item.error or "no image"
        try:
            return resize_crop(self._pixels(item), self.pre)
        except DataError as error:
            return error.message

    def _pixels(self, item: Item) -> NDArray[np.uint8]:
        source = item.source
        if isinstance(source, Path | bytes):
            told = None if self._told else partial(self._tell, item.name)
            raw = read_file(source) if isinstance(source, Path) else source  # so that the reason is without the path
            return decode(raw, self.pre.mode, at_least_px=self.pre.decode_px, exact=self.exact_decode, on_deep=told)
        if source is None:
            raise DataError("no image")
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != self.pre.channels or 0 in source.shape:
            raise DataError(f"array is {source.dtype} {source.shape}; expected uint8 (h, w, {self.pre.channels})")
        return source

    def _tell(self, name: str, top: int) -> None:
        """Says once that 16 bits a channel hold a small range, since the network sees few levels then."""
        if top < FEW_LEVELS and not self._told:
            self._told = True
            log.warning(
                "note: %s has 16 bits a channel and no value above %d of 65535. Such images are read as 8 bits by"
                " round(value / 257), so this one has %d of 256 levels; if the network was trained on images of the full"
                " range, scale them to it first",
                name, top, (top + 128) // 257 + 1,
            )  # fmt: skip


def _judged(name: str, answer: Answer) -> Row:
    if not np.isfinite(answer).all():
        return name, "the network's answer is not finite; is the bundle whole?", None
    return name, None, answer
