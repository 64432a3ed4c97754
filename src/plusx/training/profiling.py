"""Where the time of a training goes: reading alone, steps alone, and both together, part by part."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path

import torch

from plusx.data import Splits
from plusx.errors import SpecError
from plusx.graph import Graph
from plusx.i18n import _
from plusx.runtime.processor import cores
from plusx.specs import ResNetSpec
from plusx.training.api import named_recipe
from plusx.training.loader import Batch
from plusx.training.machine import deterministic, using_threads
from plusx.training.options import RunOptions
from plusx.training.recipe import Recipe, recipe_name
from plusx.training.run import TrainingRun
from plusx.training.setup import Setup
from plusx.training.staged import STAGES
from plusx.training.timing import PARTS, READING, WAITING

WARM_UP, STEPS = 3, 20
"""Steps of each of the three measurements: kernels are chosen and memory pages are fetched in the first ones."""
MOST_SECONDS = 20.0
"""A measurement ends after so long, with at least one step."""


@dataclass(frozen=True)
class Span:
    """One part of one batch, in nanoseconds of time.perf_counter_ns, with the processor time of its process meanwhile."""

    part: str
    thread: str
    begin: int
    end: int
    cpu: int


@dataclass
class Spans:
    """Records every part that runs inside `with spans(part)`, of any thread."""

    device: torch.device
    found: list[Span] = field(default_factory=list)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begin, cpu = time.perf_counter_ns(), time.process_time_ns()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        end = time.perf_counter_ns()
        self.found.append(Span(part, threading.current_thread().name, begin, end, time.process_time_ns() - cpu))


@dataclass(frozen=True)
class Measured:
    """One measurement: images, and per image the milliseconds by the clock, of all cores, and of each part."""

    n: int
    ms: float
    core_ms: float
    part_ms: dict[str, float]
    part_core_ms: dict[str, float]
    """Exact where one thread works at a time; while reading goes on beside a step, each has the other's too."""
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class TrainingProfile:
    """`reading` by one thread without training, `stepping` on one batch in memory, and `training`: both at once."""

    reading: Measured
    stepping: Measured
    training: Measured
    cores: int
    setup: Setup

    @property
    def images_per_s(self) -> float:
        return 1000 / self.training.ms

    @property
    def limit(self) -> float:
        """Images a second if all cores were always busy with what reading and stepping cost alone."""
        return 1000 * self.cores / (self.reading.core_ms + self.stepping.core_ms)

    def trace(self) -> str:
        """The spans of `training` as JSON in Chrome's trace event format, which ui.perfetto.dev and chrome://tracing show."""
        spans = self.training.spans
        start = min(span.begin for span in spans)
        threads = {name: number for number, name in enumerate(dict.fromkeys(span.thread for span in spans))}
        names = [
            {"ph": "M", "pid": 1, "tid": number, "name": "thread_name", "args": {"name": name}}
            for name, number in threads.items()
        ]
        events = [
            {
                "ph": "X", "pid": 1, "tid": threads[span.thread], "name": span.part,
                "ts": (span.begin - start) / 1000, "dur": (span.end - span.begin) / 1000,
            }
            for span in spans
        ]  # fmt: skip
        return json.dumps({"traceEvents": [*names, *events], "displayTimeUnit": "ms"})


def profile_training(
    network: str | ResNetSpec | Graph | None,
    data: str | Path | Splits,
    recipe: str | Recipe | None = None,
    options: RunOptions | None = None,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> TrainingProfile | None:
    """Profiles some steps of what `fit` would train, and keeps nothing; the arguments are those of `fit`.

    `on_step` gets the steps made and their most. None when `options.stop` asked for the end. Raises SpecError, DataError,
    WeightsError.
    """
    options = options or RunOptions()
    recipe = named_recipe(recipe, options, stages="finetune")
    name = recipe.name if isinstance(recipe, Recipe) else recipe_name(recipe)
    if name in STAGES:
        raise SpecError(_("Recipe {name} trains in stages. Profile one of them, like --recipe finetune.", name=name))
    run = TrainingRun.create(network, data, recipe, None, options)
    if run.compute.group.world_size > 1:
        raise SpecError(_("A profile is taken in one process. Start it without torchrun."))
    if run.setup.recipe.views:
        raise SpecError(_("With views= no step reads an image. Profile it with views=0."))
    with using_threads(run.compute.threads), deterministic(run.compute.device):
        return _profiled(run, on_step or (lambda done, most: None))


def _profiled(run: TrainingRun, on_step: Callable[[int, int], None]) -> TrainingProfile | None:
    spans, most = Spans(run.compute.device), 3 * (WARM_UP + STEPS)
    recipe = run.setup.recipe.replace(epochs=math.ceil(most / run.schedule.steps_per_epoch))
    tried = replace(run, setup=replace(run.setup, recipe=recipe))
    loader, trainer = replace(tried.loader(), timed=spans), tried.trainer(run.network)
    trainer.timed = spans

    def steps(batches: Iterator[Batch]) -> Iterator[int]:
        while True:
            with spans(WAITING):
                batch = next(batches)
            trainer.train_step(batch.images, batch.labels, batch.names)
            yield len(batch.labels)

    total = WARM_UP + STEPS
    first = next(replace(loader, workers=0).batches(0, 1))
    kinds: tuple[Iterable[int], ...] = (
        (len(batch.labels) for batch in replace(loader, workers=0).batches(0, total)),
        steps(repeat(first)),
        steps(loader.batches(0, total)),
    )
    measured: list[Measured] = []
    for number, kind in enumerate(kinds):
        found = _measured(
            kind, spans, run.options.stop, lambda done, so_far=number * total: on_step(so_far + done, most)
        )
        if found is None:
            return None
        measured.append(found)
    reading, stepping, training = measured
    return TrainingProfile(
        reading, stepping, training, min(cores(), max(run.compute.threads, run.compute.workers)), run.setup
    )


def _measured(
    steps: Iterable[int], spans: Spans, stopped: Callable[[], bool], on_step: Callable[[int], None]
) -> Measured | None:
    n, begun, cpu = 0, time.perf_counter(), time.process_time()
    for step, images in enumerate(steps, 1):
        if stopped():
            return None
        on_step(step)
        n += images
        if step == WARM_UP:
            spans.found.clear()
            n, begun, cpu = 0, time.perf_counter(), time.process_time()
        elif step == WARM_UP + STEPS or (step > WARM_UP and time.perf_counter() - begun > MOST_SECONDS):
            break
    n = max(1, n)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    found = tuple(spans.found)
    spans.found.clear()
    return Measured(
        n, 1000 * seconds / n, 1000 * cpu / n,
        {part: sum(span.end - span.begin for span in found if span.part == part) / 1e6 / n for part in PARTS},
        {part: sum(span.cpu for span in found if span.part == part) / 1e6 / n for part in PARTS},
        found,
    )  # fmt: skip


def rest(profile: TrainingProfile) -> tuple[float, float]:
    """Milliseconds an image of a step alone that belong to no part, by the clock and of all cores."""
    alone, inside = profile.stepping, [part for part in PARTS if part not in READING]
    return (
        alone.ms - sum(alone.part_ms[part] for part in inside),
        alone.core_ms - sum(alone.part_core_ms[part] for part in inside),
    )
