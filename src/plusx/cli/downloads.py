"""The progress of downloads: a line on a terminal, and in a pipe only why nothing happens."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from plusx.cli.printing import localized, note
from plusx.i18n import Message, _
from plusx.weights.hub.watching import Watch

EVERY_S = 0.25


class DownloadLine(Watch):
    """Megabytes done, speed and time left on stderr; silent in a pipe, except for waits."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.given = stream
        self.name, self.first, self.whole = "", 0, None
        self.start = self.shown = 0.0
        self.drawn = False

    @property
    def stream(self) -> TextIO:
        """The given one, or stderr as it is now: around a training that is another one."""
        return self.given or sys.stderr

    def started(self, name: str, done: int, whole: int | None) -> None:
        self.name, self.first, self.whole = name, done, whole
        self.start = self.shown = time.monotonic()

    def moved(self, done: int) -> None:
        now = time.monotonic()
        if now - self.shown >= EVERY_S and self.stream.isatty():
            self.shown, self.drawn = now, True
            print(f"\r{localized(self.line(done, now))}\033[K", end="", file=self.stream, flush=True)

    def line(self, done: int, now: float) -> Message:
        rate = (done - self.first) / max(1e-9, now - self.start)
        if self.whole is None:
            return _("{name}  {done:,.1f} MB, {rate:,.1f} MB/s", name=self.name, done=done / 1e6, rate=rate / 1e6)
        left = round((self.whole - done) / max(rate, 1.0))
        return _(
            "{name}  {done:,.1f} of {whole:,.1f} MB, {rate:,.1f} MB/s, {time} left",
            name=self.name, done=done / 1e6, whole=self.whole / 1e6, rate=rate / 1e6, time=f"{left // 60}:{left % 60:02d}",
        )  # fmt: skip

    def ended(self) -> None:
        if self.drawn:
            self.drawn = False
            print("\r\033[K", end="", file=self.stream, flush=True)

    def waits(self, why: Message) -> None:
        self.ended()
        note(why)
