"""Sinks of a run's events: files here, the progress bar in cli/. A sink that fails is dropped, and training continues."""

from __future__ import annotations

import csv
import shlex
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from plusx.bundles import append_line, read_lines, write_skipped
from plusx.bundles.atomic import write_file
from plusx.bundles.run_place import RUN_FILE
from plusx.errors import PlusxError
from plusx.files import json_text
from plusx.i18n import _
from plusx.training.events import (
    Checkpointed,
    Evaluated,
    Event,
    Finished,
    ImageSkipped,
    StageEnded,
    StagesStarted,
    Started,
    Step,
)  # fmt: skip

Sink: TypeAlias = Callable[[Event], None]

MOST_REASON = 1000
"""Characters of an error that are kept in metrics.jsonl."""


def tee(events: Iterable[Event], sinks: Sequence[Sink]) -> Iterator[Event]:
    """The same events, each passed to every sink first. A sink that raises is named in a warning and called no more.

    A sink's `close`, if it has one, is called at the end, also after a training that failed. Before it, when an
    error ends the training, `failed` is called with that error. `dropped` is called with the text about a sink that failed:
    the warning may go where the sink could not write either.
    """
    active = list(sinks)

    def invoke(sink: Sink, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # whatever it is, a log must not cost a training
            active.remove(sink)
            name = getattr(sink, "__name__", type(sink).__name__)
            text = _("{sink} failed and is no longer called: {error}. Training continues.", sink=name, error=error)
            with suppress(Exception):
                warnings.warn(text, RuntimeWarning, stacklevel=4)
            for other in list(active):
                if (dropped := getattr(other, "dropped", None)) is not None:
                    invoke(other, partial(dropped, text))

    try:
        for event in events:
            for sink in list(active):
                invoke(sink, partial(sink, event))
            yield event
    except Exception as error:
        for sink in list(active):
            if (failed := getattr(sink, "failed", None)) is not None:
                invoke(sink, partial(failed, error))
        raise
    finally:
        for sink in list(active):
            if (close := getattr(sink, "close", None)) is not None:
                invoke(sink, close)


def step_interval(started: Started) -> int:
    """Every how many steps one is logged: about twenty times an epoch."""
    return max(1, started.steps // started.epochs // 20)


class MetricsFile:
    """metrics.jsonl: one line for the start, every evaluation, the end or the failure, and about twenty steps an epoch.

    After a resume the lines of lost steps are removed, so that no step appears twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.every = 1
        self.step = 0
        self.started = False

    def dropped(self, text: str) -> None:
        """A line for a sink that failed."""
        if self.started:
            append_line(self.path, {"event": "dropped", "step": self.step, "reason": text[:MOST_REASON]})

    def failed(self, error: Exception) -> None:
        """The last line of a training that an error ended: after which step, and why. What never began has changed nothing."""
        if self.started and (self.path.parent / RUN_FILE).is_file():
            why = " ".join(str(error).split())[:MOST_REASON]
            if not isinstance(error, PlusxError):  # the text is another library's
                why = _(
                    "An unexpected {kind} ended the training. To see where, run plusx train --resume {run} --debug.",
                    kind=type(error).__name__, run=shlex.quote(str(self.path.parent)),
                )  # fmt: skip
            append_line(self.path, {"event": "failed", "step": self.step, "reason": why})

    def __call__(self, event: Event) -> None:
        self.step = event.step
        self.started = self.started or isinstance(event, Started | StagesStarted)
        if isinstance(event, Started):
            self.every = step_interval(event)
        if isinstance(event, Started | StagesStarted) and self.path.exists():
            kept = [row for row in read_lines(self.path) if is_kept(row, event)]
            write_file(self.path, "".join(f"{json_text(row)}\n" for row in kept).encode())
        if (row := self.row(event)) is not None and (
            self.path.parent / RUN_FILE
        ).is_file():  # without it the run never began
            append_line(self.path, row)

    def row(self, event: Event) -> dict[str, Any] | None:
        match event:
            case Step() if event.step % self.every == 0:
                values = {
                    "epoch": event.epoch,
                    "lr": event.lr,
                    "loss": event.loss,
                    "n": event.n,
                    "correct": event.correct,
                }
            case Evaluated():
                values = {
                    "epoch": event.epoch, "n": event.n, "top1": event.top1, "nll": event.nll, "best": event.best,
                    "train_loss": event.train_loss, "train_top1": event.train_top1,
                }  # fmt: skip
            case Checkpointed():
                values = {"seconds": event.seconds, "stall": event.stall}
            case Started():
                values = {"seconds": event.seconds}
            case Finished():
                values = {"seconds": event.seconds, "reason": event.reason}
            case StagesStarted():
                return {"event": "started", "step": event.step}
            case StageEnded():
                return {"event": "stage", **asdict(event)}
            case _:
                return None
        return {"event": type(event).__name__.lower(), "step": event.step, **values}


class StagesFile:
    """metrics.jsonl of a run in stages: a line for each stage and for the end. A stage's training has a file of its own."""

    def __init__(self, path: Path) -> None:
        self.file = MetricsFile(path)

    def __call__(self, event: Event) -> None:
        if isinstance(event, StagesStarted | StageEnded | Finished):
            self.file(event)

    def dropped(self, text: str) -> None:
        self.file.dropped(text)

    def failed(self, error: Exception) -> None:
        self.file.failed(error)


def is_kept(row: dict[str, Any], started: Started | StagesStarted) -> bool:
    """Whether a line belongs to a step or an evaluation that the resumed checkpoint includes."""
    if row.get("event") == "failed":
        return False  # the resumed run succeeds, or writes a new line when it fails again
    if row.get("event") == "evaluated" and isinstance(started, Started):
        return row.get("epoch", 0) <= started.evaluated
    return row.get("step", 0) <= started.step


class SkippedFile:
    """skipped.csv: path and reason of every skipped image, each once. `rows` were known before the run began."""

    def __init__(self, path: Path, rows: Iterable[tuple[str, str]]) -> None:
        self.path = path
        self.rows = dict(rows)

    def __call__(self, event: Event) -> None:
        before = len(self.rows)
        if isinstance(event, Started) and self.path.exists():
            with self.path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                self.rows.update((row[0], row[1]) for row in list(csv.reader(file))[1:] if len(row) == 2)
        if isinstance(event, ImageSkipped):
            self.rows.setdefault(event.path, event.reason)
        if len(self.rows) > before or (isinstance(event, Started) and self.rows):
            write_skipped(self.path, self.rows.items())
