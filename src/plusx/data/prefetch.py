"""Prefetching by threads, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")

DEPTH = 3
"""Groups in work at once: enough to hide one slow image, few enough to need little memory."""


def prefetch(
    groups: Iterable[tuple[Key, list[Item]]], work: Callable[[Item], Result], workers: int
) -> Iterator[tuple[Key, list[Result]]]:
    """(key, [work(item) for item in items]) of each group, in order; by `workers` threads, or by the caller's when 0.

    Threads, not processes: decoding and resizing run outside Python's lock, nothing is copied, and a kill leaves
    no process behind.

    >>> list(prefetch([("a", [1, 2]), ("b", [3])], abs, workers=2))
    [('a', [1, 2]), ('b', [3])]
    """
    if not workers:
        for key, items in groups:
            yield key, [work(item) for item in items]
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="plusx")
    waiting: deque[tuple[Key, list[Future[Result]]]] = deque()
    try:
        for key, items in groups:
            waiting.append((key, [pool.submit(work, item) for item in items]))
            if len(waiting) == DEPTH:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _next(waiting: deque[tuple[Key, list[Future[Result]]]]) -> tuple[Key, list[Result]]:
    key, futures = waiting.popleft()
    return key, [future.result() for future in futures]
