"""How a training looks on a terminal (a bar) and in a pipe (a line an epoch). Both are sinks and write to stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from plusx import settings
from plusx.i18n import duration
from plusx.training.events import Checkpointed, Evaluated, Event, Finished, ImageSkipped, Started, Step

if TYPE_CHECKING:
    from rich.progress import Progress

MOST_SKIPPED = 5
"""Skipped images named on the screen; skipped.csv has them all."""


def sink_for(stream: TextIO | None = None) -> Lines:
    """The sink that fits the stream: a bar on a terminal, plain lines elsewhere."""
    out: TextIO = stream or sys.stderr
    return Bar(out) if out.isatty() else Lines(out)


class Lines:
    """One plain line an epoch: loss, accuracy, images/s, time left."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.skipped = 0
        self.written: list[Checkpointed] = []

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self.start(event)
            case Step():
                self.step(event)
            case ImageSkipped():
                self.skip(event)
            case Evaluated():
                self.say(self.epoch_line(event))
            case Checkpointed():
                self.written.append(event)
            case Finished():
                self.close()
            case _:
                pass

    def start(self, event: Started) -> None:
        self.started, self.begun = event, time.monotonic()
        self.images, self.working = 0, 0.0
        for line in start_lines(event):
            self.say(line)

    def step(self, event: Step) -> None:
        self.images += event.n
        self.now = event

    def skip(self, event: ImageSkipped) -> None:
        self.skipped += 1
        if self.skipped <= MOST_SKIPPED:
            self.say(f"skipped {event.path}: {event.reason}")
        elif self.skipped == MOST_SKIPPED + 1:
            self.say("skipped more images; all of them are in skipped.csv")

    def epoch_line(self, event: Evaluated) -> str:
        width = len(str(self.started.epochs))
        return (
            f"epoch {event.epoch:>{width}}/{self.started.epochs}  loss {event.train_loss:.3f}  "
            f"train {event.train_top1:6.1%}  val {event.top1:6.1%}{' *' if event.best else '  '}  "
            f"{self.rate():,.0f} images/s  {duration(self.left(event.step))} left"
        )

    def rate(self) -> float:
        return self.images / max(1e-9, time.monotonic() - self.begun)

    def left(self, step: int) -> float:
        """Seconds to the end, at the speed since the start; evaluations are in it."""
        done = step - self.started.step
        return (time.monotonic() - self.begun) / max(1, done) * (self.started.steps - step)

    def saved(self) -> str:
        """How many checkpoints were written, what one took at most, and how long the training stood still for it."""
        n = len(self.written)
        most, stood = (max(times) for times in zip(*((e.seconds, e.stall) for e in self.written), strict=True))
        return f"{n} checkpoint{'s' * (n > 1)}, each written in at most {most:.2f} s beside the training, which stood still {stood:.2f} s at most"

    def say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    def close(self) -> None:
        """Puts the terminal back as it was; may be called twice, and before the start."""


class Bar(Lines):
    """rich's bar: epoch, loss, accuracy, images/s, time left; the epochs' lines stay above it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.progress: Progress | None = None
        self.loss: float | None = None
        self.accuracy: float | None = None

    def start(self, event: Started) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = ("epoch {task.fields[epoch]}", "loss {task.fields[loss]}", "accuracy {task.fields[accuracy]}",
                   "{task.fields[rate]} images/s", "{task.fields[left]} left")  # fmt: skip
        self.progress = Progress(
            TextColumn(columns[0]), BarColumn(bar_width=24), *(TextColumn(text) for text in columns[1:]),
            console=Console(file=self.stream, no_color=settings.no_color()), refresh_per_second=5, transient=True,
        )  # fmt: skip
        fields: dict[str, Any] = {
            "epoch": "…",
            "loss": "…",
            "accuracy": "…",
            "rate": "…",
            "left": duration(event.seconds),
        }
        self.task = self.progress.add_task("", total=event.steps, completed=event.step, **fields)
        super().start(event)
        self.progress.start()

    def step(self, event: Step) -> None:
        super().step(event)
        if self.progress is None:
            return
        self.loss, self.accuracy = smooth(self.loss, event.loss), smooth(self.accuracy, event.correct / max(1, event.n))
        self.progress.update(
            self.task, completed=event.step, epoch=f"{event.epoch}/{self.started.epochs}", loss=f"{self.loss:.3f}",
            accuracy=f"{self.accuracy:.1%}", rate=f"{self.rate():,.0f}", left=duration(self.left(event.step)),
        )  # fmt: skip

    def say(self, line: str) -> None:
        if self.progress is not None:
            self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()


class Indexing:
    """Says on a terminal how far the first look at the images is; silent in a pipe and for what is quick."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream: TextIO = stream or sys.stderr
        self.shown = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.stream.isatty() and now - self.shown > 1:
            self.shown = now
            print(f"\rlooking at the images: {done:,} of {total:,}", end="\r", file=self.stream, flush=True)


def start_lines(event: Started) -> list[str]:
    """What is said before the time is spent."""
    note = [f"note: {line}" for line in event.notes]
    many = f"{event.world_size} processes of " if event.world_size > 1 else ""
    epochs = "1 epoch" if event.epochs == 1 else f"{event.epochs} epochs"
    about = "" if event.seconds is None else f" will take about {duration(event.seconds)}"
    again = f", goes on after step {event.step} of {event.steps}" if event.step else ""
    return [
        *note,
        f"{event.spec} on {event.n_train:,} images, {event.n_val:,} to validate, {len(event.classes)} classes; "
        f"{event.device} {event.precision}, {many}{event.threads} thread{'s' if event.threads > 1 else ''}",
        f"recipe: {event.recipe}",
        f"writes to {event.run}{again}; {epochs}{about}",
    ]


def smooth(before: float | None, now: float) -> float:
    return now if before is None else 0.95 * before + 0.05 * now
