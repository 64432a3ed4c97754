"""One thread that puts bundles and checkpoints on disk, in the order given, while the training goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from plusx.training.events import Checkpointed

Job = Callable[[], Checkpointed | None]


class Writer:
    """Jobs run one after another. After one that failed no other does: a checkpoint must not know of a bundle that
    was never written."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="plusx-writer")
        self._waiting: deque[Future[Checkpointed | None]] = deque()
        self._broken = False

    def submit(self, job: Job) -> None:
        self._waiting.append(self._pool.submit(self._run, job))

    def finished(self) -> Iterator[Checkpointed]:
        """What has come to disk since it was last asked. Raises RunError of a job that failed."""
        while self._waiting and self._waiting[0].done():
            yield from self._take()

    def wait(self) -> Iterator[Checkpointed]:
        """As `finished`, once everything is on disk."""
        while self._waiting:
            yield from self._take()

    def close(self) -> None:
        """Lets the job at work end, and forgets the others."""
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
