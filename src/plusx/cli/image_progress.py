"""The progress of a stream of images, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import chain
from typing import TextIO, TypeVar

from plusx.cli.printing import localized
from plusx.i18n import Message, _

T = TypeVar("T")


def peeked(items: Iterator[T]) -> Iterator[T]:
    """The same items; the first is fetched now, so that its errors come before anything is written."""
    for first in items:
        return chain([first], items)
    return iter(())


class ImageProgress:
    """Images done, images/s and time left on stderr, twice a second; silent in a pipe."""

    def __init__(self, total: int | None = None, stream: TextIO | None = None) -> None:
        self.total, self.stream = total, stream or sys.stderr
        self.n = self.good = 0
        self.start = self.shown = time.monotonic()

    def update(self, good: bool) -> None:
        self.n, self.good = self.n + 1, self.good + good
        now = time.monotonic()
        if now - self.shown > 0.5 and self.stream.isatty():
            self.shown = now
            print(f"\r{localized(self.line(now))}\033[K", end="", file=self.stream, flush=True)

    def line(self, now: float) -> Message:
        rate = self.n / max(1e-9, now - self.start)
        if self.total is None:
            return _("{n:,} images, {rate:,.0f} images/s", n=self.n, rate=rate)
        left = round((self.total - self.n) / max(rate, 1e-9))
        clock = f"{left // 60}:{left % 60:02d}"
        return _(
            "{n:,} of {total:,} images, {rate:,.0f} images/s, {time} left",
            n=self.n, total=self.total, rate=rate, time=clock,
        )  # fmt: skip

    def close(self) -> None:
        if self.shown != self.start:
            print("\r\033[K", end="", file=self.stream, flush=True)
