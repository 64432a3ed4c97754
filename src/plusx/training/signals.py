"""Ctrl-C and SIGTERM as a request that the loop checks between two steps, so that no step is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from plusx.training.distributed import ProcessGroup


@dataclass
class Stop:
    """Says whether the run should end after this step, and why: `signal` is the number, None: continue."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    def on_any_rank(self, group: ProcessGroup) -> bool:
        """Whether any rank was asked to stop; then all of them stop."""
        asked = group.any_rank(self())
        if asked and self.signal is None:
            self.signal = signal.SIGTERM
        return asked

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
