"""Ctrl-C and SIGTERM as a wish that the loop grants between two steps, so that no step is ever half made."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from plusx.training.world import World


@dataclass
class Stop:
    """Says whether the run should end after this step, and why: `signal` is the number, None = go on."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    def agreed(self, world: World) -> bool:
        """Whether any process of a training was told to stop; then all of them are."""
        told = world.any(self())
        if told and self.signal is None:
            self.signal = signal.SIGTERM
        return told

    @property
    def name(self) -> str:
        return signal.Signals(self.signal).name if self.signal is not None else "done"


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[Stop]:
    """Inside, the first SIGINT or SIGTERM only sets `stop`; a second one interrupts at once (KeyboardInterrupt)."""

    def handle(number: int, _: FrameType | None) -> None:
        if stop():
            raise KeyboardInterrupt
        stop.signal = number

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
