"""Images through decoding and a network, in order and in bounded memory.

Each of `workers` threads takes images, decodes them and then waits while the engine computes them on the worker's
share of the cores. So as many threads work as there are cores, whichever of the two takes longer. If the cores were
split between decoders and the engine, one side would wait for the other.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError
from plusx.i18n import _
from plusx.images import Preprocessing, decode, read_file, resize_crop
from plusx.runtime.engine import Engine
from plusx.runtime.engines import require_process
from plusx.runtime.inputs import Item

log = logging.getLogger("plusx")

FEW_LEVELS = 1 << 14
"""Largest values below this, in images of 16 bits, are worth a note: scanners and detectors give 12 or 14 bits."""
PREFETCH = 4
"""Groups a worker may finish before they are taken: enough to hide one slow image, and little memory."""
MOST_HELD = 256 << 20
"""Bytes of images, taken out of archives, that may wait. Where a group alone has more, nothing waits beside it."""
Output = NDArray[np.float32]
Prepare = Callable[[NDArray[np.uint8], Preprocessing], NDArray[np.uint8]]
"""uint8 (h, w, c) of any size → uint8 of the network's size."""
ImageOutput = tuple[str, str | None, Output | None]
"""Name, why there is no output (or None), output (or None)."""


class Pipeline:
    """Runs items through an engine. It can be used many times, one run at a time.

    `prepare` brings a decoded image to the network's size; it may show the network another part of the image.
    """

    def __init__(
        self, engine: Engine, pre: Preprocessing, *, exact_decode: bool = False, prepare: Prepare = resize_crop
    ) -> None:
        self.engine, self.pre, self.exact_decode, self.prepare = engine, pre, exact_decode, prepare
        self._warned = False
        self._process = os.getpid()

    def run(self, items: Iterable[Item]) -> Iterator[ImageOutput]:
        """One row an item, in order. An image that cannot be read is a row with its reason, and the others follow.

        Raises RunError in a process that was forked after the engine had been opened.
        """
        require_process(self._process)
        plan, source = self.engine.plan, iter(items)
        waiting: deque[tuple[Future[list[ImageOutput]], int]] = deque()
        held = 0
        pool = ThreadPoolExecutor(plan.workers, thread_name_prefix="plusx")
        try:
            while group := list(islice(source, plan.batch)):
                size = sum(_bytes_of(item) for item in group)
                waiting.append((pool.submit(self._work, group), size))
                held += size
                while waiting and (len(waiting) >= PREFETCH * plan.workers or held > MOST_HELD or waiting[0][0].done()):
                    done, size = waiting.popleft()
                    held -= size
                    yield from done.result()
            while waiting:
                yield from waiting.popleft()[0].result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for an image

    def _work(self, group: list[Item]) -> list[ImageOutput]:
        read = [self._read(item) for item in group]
        good = [image for image in read if not isinstance(image, str)]
        outputs = iter(self.engine.infer(np.stack(good)) if good else ())
        return [
            (item.name, found, None) if isinstance(found, str) else _checked(item.name, next(outputs))
            for item, found in zip(group, read, strict=True)
        ]

    def _read(self, item: Item) -> NDArray[np.uint8] | str:
        """An image at the network's size, or the reason why not."""
        if item.source is None:
            return item.error or _("no image")
        try:
            return self.prepare(self._pixels(item), self.pre)
        except DataError as error:
            return error.message

    def _pixels(self, item: Item) -> NDArray[np.uint8]:
        source = item.source
        if isinstance(source, Path | bytes):
            warn = None if self._warned else partial(self._warn, item.name)
            raw = read_file(source) if isinstance(source, Path) else source  # so that the reason is without the path
            return decode(raw, self.pre.mode, at_least_px=self.pre.decode_px, exact=self.exact_decode, on_deep=warn)
        if source is None:
            raise DataError(_("no image"))
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != self.pre.channels or 0 in source.shape:
            raise DataError(
                _(
                    "The array is {dtype} {shape}. Give uint8 (h, w, {channels}).",
                    dtype=source.dtype, shape=source.shape, channels=self.pre.channels,
                )
            )  # fmt: skip
        return source

    def _warn(self, name: str, top: int) -> None:
        """Warn once that an image of 16 bits uses a small range, since the network sees few levels then."""
        if top < FEW_LEVELS and not self._warned:
            self._warned = True
            log.warning(
                _(
                    "note: {name} has 16 bits a channel and no value above {top} of 65535. Such images are read as 8 bits "
                    "by round(value / 257), so this one has {levels} of 256 levels. If the network was trained on images of "
                    "the full range, scale them to it first.",
                    name=name, top=top, levels=(top + 128) // 257 + 1,
                )
            )  # fmt: skip


def _bytes_of(item: Item) -> int:
    """The memory that the content of an item takes while it waits; a file is read by its worker."""
    return len(item.source) if isinstance(item.source, bytes) else 0


def _checked(name: str, output: Output) -> ImageOutput:
    if not np.isfinite(output).all():
        return name, _("The network's output is not finite. Check the bundle's weights."), None
    return name, None, output
