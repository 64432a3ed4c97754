"""Prefetching by threads, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Items = TypeVar("Items", bound=Sequence[Any])
Result = TypeVar("Result")
Group = TypeVar("Group")

DEPTH = 3
"""Groups in work at once: enough to hide one slow image, few enough to need little memory."""


def prefetch(
    groups: Iterable[Items],
    work: Callable[[Any], Result],
    finish: Callable[[Items, list[Result]], Group],
    workers: int,
) -> Iterator[Group]:
    """finish(items, [work(item) for item in items]) of each group, in order; by `workers` threads, or by the caller's when 0.

    Threads, not processes: decoding and resizing run outside Python's lock, nothing is copied, and a kill leaves
    no process behind.

    >>> list(prefetch([[1, 2], [3]], abs, lambda items, found: sum(found), workers=2))
    [3, 3]
    """
    if not workers:
        for items in groups:
            yield finish(items, [work(item) for item in items])
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="plusx")
    waiting: deque[Future[Group]] = deque()

    def joined(items: Items, parts: list[Future[Result]]) -> Group:
        return finish(items, [part.result() for part in parts])

    try:
        for items in groups:
            parts = [pool.submit(work, item) for item in items]
            # submitted last, so a thread that waits in it waits for images that other threads have begun
            waiting.append(pool.submit(joined, items, parts))
            if len(waiting) == DEPTH:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
