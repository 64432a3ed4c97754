"""Ctrl-C, SIGTERM and SIGHUP as a request that the loop checks between two steps, so that no step is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from plusx.training.distributed import ProcessGroup

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""Windows has none."""


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
    """Inside, the first SIGINT, SIGTERM or SIGHUP only sets `stop`; a second one interrupts at once (KeyboardInterrupt).

    SIGHUP, by which a terminal says that it was closed, is ignored where it was (nohup, disown), and interrupts nothing:
    it often comes together with another.
    """

    def handle(number: int, _: FrameType | None) -> None:
        if stop() and _HANGUP not in (number, stop.signal):
            raise KeyboardInterrupt
        if number != _HANGUP or not stop():
            stop.signal = number

    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        numbers.append(_HANGUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
