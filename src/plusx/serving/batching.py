"""Images that wait for a network, and the threads that compute them.

As in `plusx predict`, each worker decodes the images that it takes and then waits while the engine computes them, so that
as many threads work as there are cores. A worker takes what waits: under load the batches fill by themselves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError, PlusxError
from plusx.i18n import Message, _
from plusx.images import Preprocessing, decode, resize_crop
from plusx.images.decode import opened
from plusx.images.jpeg import check_pixels
from plusx.runtime.engine import Engine
from plusx.serving.refusals import Refusal

WAIT_S = 0.002
"""How long a worker waits for more images while others compute, where a batch holds several."""
RESTART_S = 0.05
"""The pause before a thread that died is replaced, so that a fault that comes back at once takes no whole core."""
Source = bytes | NDArray[np.uint8]
"""The bytes of an image file, or an image (h, w, c) as the network takes it."""
RowResult = NDArray[np.float32] | Message | Refusal
"""Logits; why the image cannot be read; or what the server could not do."""


class Unloaded(Refusal):
    """The model was exchanged for another one: the request is for that."""

    def __init__(self) -> None:
        super().__init__(503, _("The model is being unloaded. Try again in a second."), 1)


class Job:
    """The images of one request. `results` is complete when `when_done` is called, in a worker's thread.

    `alive` is asked before an image is decoded: nobody waits for one whose client has gone or whose time is over.
    """

    def __init__(self, sources: Sequence[Source], alive: Callable[[], bool], when_done: Callable[[], None]) -> None:
        self.sources, self.alive, self.when_done = list(sources), alive, when_done
        self.results: list[RowResult | None] = [None] * len(sources)
        self.left = len(sources)


class Batcher:
    """A bounded queue of images before an engine, and `engine.plan.workers` threads.

    A thread that dies is replaced, and its images get an error. `report` is told so; `on_batch` the size of each batch.
    """

    def __init__(
        self,
        engine: Engine,
        pre: Preprocessing,
        *,
        most_waiting: int,
        most_pixels: int,
        exact_decode: bool,
        report: Callable[[Message], None],
        on_batch: Callable[[int], None],
    ) -> None:
        self.engine, self.pre, self.most_waiting, self.most_pixels = engine, pre, most_waiting, most_pixels
        self.exact_decode, self.report, self.on_batch = exact_decode, report, on_batch
        self.computing = 0
        """Workers that are not waiting for images."""
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Job, int]] = deque()
        self._closed = False
        self._threads: set[threading.Thread] = set()
        for _worker in range(engine.plan.workers):
            self._start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Put all images of a request into the queue, or none. Raises Refusal."""
        with self._changed:
            if self._closed:
                raise Unloaded
            if len(job.sources) > self.most_waiting:
                raise Refusal(
                    413,
                    _("The request has {n} images, and at most {most} may wait. Split it.",
                      n=len(job.sources), most=self.most_waiting)
                )  # fmt: skip
            if len(self._waiting) + len(job.sources) > self.most_waiting:
                raise Refusal(
                    503,
                    _("{n} images are waiting already, and at most {most} may. Try again in a second.",
                      n=len(self._waiting), most=self.most_waiting),
                    1,
                )  # fmt: skip
            self._waiting.extend((job, i) for i in range(len(job.sources)))
            self._changed.notify(len(job.sources))

    def close(self) -> None:
        """Take no more images. The threads compute what waits and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Whether all threads have ended within so many seconds, after `close`."""
        end = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in list(self._threads))

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="plusx-serve", daemon=True)
        self._threads = {other for other in self._threads if other.is_alive()} | {thread}
        thread.start()

    def _work(self) -> None:
        group: list[tuple[Job, int]] = []
        try:
            while group := self._take():
                try:
                    self._compute(group)
                finally:
                    with self._changed:
                        self.computing -= 1
        except BaseException as error:  # whatever ends a thread, its images are answered and another takes its place
            self.report(_("a worker ended ({kind}: {error}) and is replaced", kind=type(error).__name__, error=error))
            self._finish(group, [_broken()] * len(group))
            time.sleep(RESTART_S)
            self._start()

    def _take(self) -> list[tuple[Job, int]]:
        """The next images that somebody waits for, at most a batch; none once everything is done and closed."""
        batch, workers = self.engine.plan.batch, self.engine.plan.workers
        with self._changed:
            while True:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return []
                if batch > len(self._waiting) and self.computing and not self._closed:
                    self._changed.wait(WAIT_S)
                # workers that have nothing to do share what waits
                share = -(-len(self._waiting) // max(1, workers - self.computing))
                group: list[tuple[Job, int]] = []
                while self._waiting and len(group) < min(batch, max(1, share)):
                    job, i = self._waiting.popleft()
                    if job.alive():
                        group.append((job, i))
                if group:
                    self.computing += 1
                    return group

    def _compute(self, group: list[tuple[Job, int]]) -> None:
        """Decode and infer; an error of the engine is the result of each of these images, and of no other."""
        read = [self._read(job.sources[i]) for job, i in group]
        good = [image for image in read if isinstance(image, np.ndarray)]
        try:
            outputs = iter(self.engine.infer(np.stack(good)) if good else ())
        except PlusxError as error:
            outputs = iter([Refusal(500, error.message)] * len(good))
        self.on_batch(len(good))
        self._finish(group, [next(outputs) if isinstance(image, np.ndarray) else image for image in read])

    def _finish(self, group: list[tuple[Job, int]], results: Sequence[RowResult]) -> None:
        for (job, i), result in zip(group, results, strict=True):
            if isinstance(result, np.ndarray) and not np.isfinite(result).all():
                result = Refusal(500, _("The network's output is not finite. Check the bundle's weights."))
            with self._changed:
                if job.results[i] is not None:
                    continue
                job.results[i] = result
                job.left -= 1
                done = not job.left
            if done:
                job.when_done()

    def _read(self, source: Source) -> NDArray[np.uint8] | Message:
        """An image at the network's size, or the reason why there is none."""
        if isinstance(source, np.ndarray):
            return source
        try:
            return resize_crop(self.pixels(source), self.pre)
        except DataError as error:
            return error.message

    def pixels(self, raw: bytes) -> NDArray[np.uint8]:
        """An image file as predict decodes it. Raises DataError, also where it has more pixels than a request may send."""
        with opened(raw) as image:  # the header alone
            check_pixels(*image.size, self.most_pixels)
        return decode(raw, self.pre.mode, at_least_px=self.pre.decode_px, exact=self.exact_decode)


def _broken() -> Refusal:
    return Refusal(500, _("The server failed while it computed this image. Try again."))


def warm_up(batcher: Batcher) -> None:
    """Compute blank images until every worker has computed some. Raises Refusal where the engine fails."""
    side = batcher.pre.crop_px or 64
    blank = np.zeros((side, side, batcher.pre.channels), np.uint8)
    plan = batcher.engine.plan
    done = threading.Event()
    job = Job([blank] * min(plan.workers * plan.batch, batcher.most_waiting), lambda: True, done.set)
    batcher.submit(job)
    done.wait()
    failed = next((result for result in job.results if isinstance(result, Refusal)), None)
    if failed is not None:
        raise failed
