"""How far a long walk over images is, on a terminal; and looking at the first item before anything is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import chain
from typing import TextIO, TypeVar

T = TypeVar("T")


def peeked(items: Iterator[T]) -> Iterator[T]:
    """The same items; complaints about the first come now."""
    for first in items:
        return chain([first], items)
    return iter(())


class Meter:
    """Images done, images/s and time left on stderr, twice a second; silent in a pipe."""

    def __init__(self, total: int | None = None, stream: TextIO | None = None) -> None:
        self.total, self.stream = total, stream or sys.stderr
        self.n = self.good = 0
        self.begun = self.shown = time.monotonic()

    def count(self, good: bool) -> None:
        self.n, self.good = self.n + 1, self.good + good
        now = time.monotonic()
        if now - self.shown > 0.5 and self.stream.isatty():
            self.shown = now
            print(f"\r{self.line(now)}\033[K", end="", file=self.stream, flush=True)

    def line(self, now: float) -> str:
        rate = self.n / max(1e-9, now - self.begun)
        if self.total is None:
            return f"{self.n:,} images, {rate:,.0f} a second"
        left = round((self.total - self.n) / max(rate, 1e-9))
        return f"{self.n:,} of {self.total:,} images, {rate:,.0f} a second, {left // 60}:{left % 60:02d} left"

    def close(self) -> None:
        if self.shown != self.begun:
            print("\r\033[K", end="", file=self.stream, flush=True)
