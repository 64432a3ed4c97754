"""The progress of training: a bar on a terminal, a line an epoch in a pipe. Both are sinks and write to stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from plusx import settings
from plusx.cli.printing import localized
from plusx.i18n import Message, _, _n, duration
from plusx.metrics import wilson
from plusx.training.events import (
    Checkpointed,
    Evaluated,
    Event,
    Finished,
    ImageSkipped,
    Prepared,
    StageEnded,
    StagesStarted,
    Started,
    Step,
)  # fmt: skip

if TYPE_CHECKING:
    from rich.progress import Progress

MOST_SKIPPED = 5
"""Skipped images named on the screen; skipped.csv has them all."""


def training_log(stream: TextIO | None = None) -> TrainingLog:
    """The sink that fits the stream: a progress bar on a terminal, plain lines elsewhere."""
    out: TextIO = stream or sys.stderr
    return TrainingBar(out) if out.isatty() else TrainingLog(out)


class TrainingLog:
    """One plain line an epoch: loss, accuracy, images/s, time left."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.skipped = 0
        self.written: list[Checkpointed] = []

    def __call__(self, event: Event) -> None:
        match event:
            case StagesStarted():
                self.stages_start(event)
            case StageEnded():
                self.print(stage_line(event))
            case Started():
                self.start(event)
            case Prepared():
                self.prepare(event)
            case Step():
                self.step(event)
            case ImageSkipped():
                self.skip(event)
            case Evaluated():
                self.print(self.epoch_line(event))
            case Checkpointed():
                self.written.append(event)
            case Finished():
                self.close()
            case _:
                pass

    def start(self, event: Started) -> None:
        self.started, self.start_time = event, time.monotonic()
        self.images = 0
        for line in start_lines(event):
            self.print(line)

    def stages_start(self, event: StagesStarted) -> None:
        for line in stages_lines(event):
            self.print(line)

    def prepare(self, event: Prepared) -> None:
        """Nothing in a pipe: the line at the start says how long it takes."""

    def step(self, event: Step) -> None:
        self.images += event.n

    def skip(self, event: ImageSkipped) -> None:
        self.skipped += 1
        if self.skipped <= MOST_SKIPPED:
            self.print(_("skipped {path}: {reason}", path=event.path, reason=localized(event.reason)))
        elif self.skipped == MOST_SKIPPED + 1:
            self.print(_("more images were skipped; skipped.csv lists all of them"))

    def epoch_line(self, event: Evaluated) -> Message:
        epochs = str(self.started.epochs)
        return _(
            "epoch {epoch}/{epochs}  loss {loss:.3f}  train {train:6.1%}  val {val:6.1%}{mark}  {rate:,.0f} images/s  "
            "{left} left",
            epoch=str(event.epoch).rjust(len(epochs)), epochs=epochs, loss=event.train_loss, train=event.train_top1,
            val=event.top1, mark=" *" if event.best else "  ", rate=self.rate(), left=duration(self.left(event.step)),
        )  # fmt: skip

    def rate(self) -> float:
        """Images a second since the start, evaluations included."""
        return self.images / max(1e-9, time.monotonic() - self.start_time)

    def left(self, step: int) -> float:
        """Seconds to the end, at the speed since the start, evaluations included."""
        done = step - self.started.step
        return (time.monotonic() - self.start_time) / max(1, done) * (self.started.steps - step)

    def saved(self) -> Message:
        """How many checkpoints were written, the longest write, and the longest pause of training for one."""
        write, pause = (max(times) for times in zip(*((e.seconds, e.stall) for e in self.written), strict=True))
        return _n(
            "{n} checkpoint; longest write {write:.2f} s in the background, longest pause of training {pause:.2f} s",
            "{n} checkpoints; longest write {write:.2f} s in the background, longest pause of training {pause:.2f} s",
            len(self.written), write=write, pause=pause,
        )  # fmt: skip

    def print(self, line: str) -> None:
        print(localized(line), file=self.stream, flush=True)

    def close(self) -> None:
        """Puts the terminal back as it was; may be called twice, and before the start."""


class TrainingBar(TrainingLog):
    """rich's progress bar: epoch, loss, accuracy, images/s, time left; the epochs' lines stay above it.

    Loss and accuracy are those of the epoch so far, so after its last step they are the numbers of its line.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.progress: Progress | None = None

    def start(self, event: Started) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        fields = {name: f"{{task.fields[{name}]}}" for name in ("epoch", "loss", "train", "rate", "left")}
        texts = (
            _("epoch {epoch}", **fields), _("loss {loss}", **fields), _("train {train}", **fields),
            _("{rate} images/s", **fields), _("{left} left", **fields),
        )  # fmt: skip
        columns = [TextColumn(localized(text)) for text in texts]
        self.progress = Progress(
            columns[0], BarColumn(bar_width=12), *columns[1:],
            console=Console(file=self.stream, no_color=settings.no_color()), refresh_per_second=5, transient=True,
        )  # fmt: skip
        first: dict[str, Any] = dict.fromkeys(fields, "…") | {"left": localized(duration(event.seconds))}
        self.task = self.progress.add_task("", total=event.steps, completed=event.step, **first)
        super().start(event)
        self.progress.start()

    def prepare(self, event: Prepared) -> None:
        if self.progress is not None:
            done = f"{event.done:,}/{event.total:,}"
            texts = dict.fromkeys(("loss", "train", "rate"), "…")
            self.progress.update(
                self.task,
                total=event.total,
                completed=event.done,
                epoch=localized(_("maps {done}", done=done)),
                **texts,
            )
            if event.done == event.total:
                self.progress.update(self.task, total=self.started.steps, completed=self.started.step)

    def step(self, event: Step) -> None:
        super().step(event)
        if self.progress is None:
            return
        self.progress.update(
            self.task, completed=event.step, epoch=f"{event.epoch}/{self.started.epochs}", loss=f"{event.train_loss:.3f}",
            train=f"{event.train_top1:.1%}", rate=f"{self.rate():,.0f}", left=localized(duration(self.left(event.step))),
        )  # fmt: skip

    def print(self, line: str) -> None:
        if self.progress is not None:
            self.progress.console.print(localized(line), markup=False, highlight=False, soft_wrap=True)
        else:
            super().print(line)

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


class IndexingProgress:
    """Shows on a terminal how many images are indexed; silent in a pipe and in the first second."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream: TextIO = stream or sys.stderr
        self.shown = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.stream.isatty() and now - self.shown > 1:
            self.shown = now
            print(f"\r{localized(self.line(done, total))}", end="\r", file=self.stream, flush=True)

    def line(self, done: int, total: int) -> Message:
        return _("indexing images: {done:,} of {total:,}", done=done, total=total)


class FeatureProgress(IndexingProgress):
    """The same for the features of images, which take longer."""

    def line(self, done: int, total: int) -> Message:
        return _("computing features: {done:,} of {total:,} images", done=done, total=total)


def stages_lines(event: StagesStarted) -> list[Message]:
    """What a run in stages is, before time is spent on it."""
    stages = ", ".join(event.stages)
    writes = _("writes to {run}; stages: {stages}", run=event.run, stages=stages)
    if event.step:
        writes = _("{writes}; resumes after {stage}", writes=writes, stage=event.stages[event.step - 1])
    if event.minutes is not None:
        writes = _(
            "{writes}, in about {minutes:g} min together, each only if it pays", writes=writes, minutes=event.minutes
        )
    return [
        *(_("note: {text}", text=localized(line)) for line in event.notes),
        _(
            "{network} on {n_train:,} images, {n_val:,} for validation, {classes} classes",
            network=event.spec, n_train=event.n_train, n_val=event.n_val, classes=len(event.classes),
        ),
        writes,
    ]  # fmt: skip


def stage_line(event: StageEnded) -> Message:
    """What a stage gave, or why it was not begun."""
    if event.failed:
        return _("{stage}: failed, because {why}", stage=event.name, why=localized(event.why))
    if not event.n:
        return _("{stage}: not begun, because {why}", stage=event.name, why=localized(event.why))
    low, high = wilson(round(event.top1 * event.n), event.n) or (0.0, 1.0)
    values = {
        "stage": event.name, "top1": event.top1, "n": event.n, "low": low, "high": high, "images": event.images,
        "time": duration(event.seconds), "nll": event.nll,
    }  # fmt: skip
    if event.best:
        return _(
            "{stage}: {top1:.1%} of {n:,} held-out images (95 %: {low:.1%} to {high:.1%}, nll {nll:.3f}) after {time} on {images:,} images: kept",
            **values,
        )
    return _(
        "{stage}: {top1:.1%} of {n:,} held-out images (95 %: {low:.1%} to {high:.1%}, nll {nll:.3f}) after {time} on {images:,} images: "
        "not better, not kept",
        **values,
    )


def start_lines(event: Started) -> list[Message]:
    """What the run is, before time is spent on it."""
    threads = _n("{n} thread", "{n} threads", event.threads)
    if event.world_size > 1:
        threads = _("{n} processes of {threads}", n=event.world_size, threads=threads)
    about = _(
        "{network} on {n_train:,} images, {n_val:,} for validation, {classes} classes; {device} {precision}, {threads}",
        network=event.spec, n_train=event.n_train, n_val=event.n_val, classes=len(event.classes), device=event.device,
        precision=event.precision, threads=threads,
    )  # fmt: skip
    epochs = _n("{n} epoch", "{n} epochs", event.epochs)
    if event.seconds is not None:
        time_needed = duration(event.seconds)
        epochs = _("{epochs} will take about {time}", epochs=epochs, time=time_needed)
    writes = _("writes to {run}", run=event.run)
    if event.step:
        writes = _("{writes}, resumes after step {step} of {steps}", writes=writes, step=event.step, steps=event.steps)
    return [
        *(_("note: {text}", text=localized(line)) for line in event.notes),
        about,
        _("recipe: {recipe}", recipe=event.recipe),
        _("{writes}; {epochs}", writes=writes, epochs=epochs),
    ]
