"""A thread that writes bundles and checkpoints in the order submitted, while training continues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from plusx.training.events import Checkpointed

Job = Callable[[], Checkpointed | None]


class BackgroundWriter:
    """Jobs run one after another, and none after one that failed: no checkpoint may record a bundle that was never written."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="plusx-writer")
        self._waiting: deque[Future[Checkpointed | None]] = deque()
        self._broken = False

    def submit(self, job: Job) -> None:
        self._waiting.append(self._pool.submit(self._run, job))

    def finished(self) -> Iterator[Checkpointed]:
        """The checkpoints completed since the last call. Raises the RunError of a job that failed."""
        while self._waiting and self._waiting[0].done():
            yield from self._take()

    def wait(self) -> Iterator[Checkpointed]:
        """As `finished`, after waiting for all jobs."""
        while self._waiting:
            yield from self._take()

    def close(self) -> None:
        """Waits for the running job and drops the others."""
        self._pool.shutdown(cancel_futures=True)

    def _take(self) -> Iterator[Checkpointed]:
        done = self._waiting.popleft().result()
        if done is not None:
            yield done

    def _run(self, job: Job) -> Checkpointed | None:
        if self._broken:
            return None
        try:
            return job()
        except BaseException:
            self._broken = True
            raise
