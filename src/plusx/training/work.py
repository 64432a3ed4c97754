"""A run put together: trainer, feed, loop and the files they leave."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.analysis import analyse
from plusx.bundles import DataRecord, PartRecord, Provenance, save_bundle, start_run
from plusx.data import Data, Splits
from plusx.errors import SpecError
from plusx.nn.device import pick_precision
from plusx.runtime.processor import cores
from plusx.training import checkpoint
from plusx.training.estimate import Speed, fitting_epochs, measure
from plusx.training.evaluation import judge
from plusx.training.events import Event, Finished, Skipped, Started
from plusx.training.feed import Feed
from plusx.training.loop import Arrays, Loop
from plusx.training.machine import count_threads, pick_device, repeatable, require_room, using_threads
from plusx.training.plan import Plan
from plusx.training.report import ReportFile
from plusx.training.setup import Setup
from plusx.training.signals import Stop
from plusx.training.sinks import MetricsFile, Sink, SkippedFile
from plusx.training.trainer import Trainer, smallest_batch
from plusx.training.world import World
from plusx.version import __version__

MOST_CLASSES_WITH_CONFUSION = 100
"""Above, a bundle would carry a million numbers that `plusx evaluate` can make again."""

SHARED_MACS = 500_000_000
"""Multiply-adds of a batch, forward, from which on it is shared between threads."""


@dataclass(frozen=True)
class Hands:
    """How a run is worked on: what may differ between a run and its resumption without changing what it is.

    `threads` None: all cores for networks and images worth it, else one; or as many as the resumed run had;
    `workers` None: one a core. Processes on one machine share its cores. `stop` ends the run after a step. A checkpoint
    is written when the last is older than `checkpoint_seconds` or `checkpoint_steps`.
    """

    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    stop: Stop | None = None
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None
    lang: str | None = None
    """en or zh: the language of report.html; None: PLUSX_LANG."""
    indexing: Callable[[int, int], None] | None = None
    """Hears how many images of how many are indexed; may be called from several threads."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise SpecError(f"workers={self.workers}, must be at least 0")
        if not self.checkpoint_seconds > 0:
            raise SpecError(f"checkpoint_seconds={self.checkpoint_seconds:g}, must be above 0")


class Work:
    """A run about to begin or to go on."""

    def __init__(
        self,
        run: Path,
        setup: Setup,
        splits: Splits,
        seed: int,
        origin: dict[str, Any],
        hands: Hands,
        world: World,
        had_threads: int | None = None,
    ) -> None:
        self.run, self.setup, self.splits, self.seed, self.hands = run, setup, splits, seed, hands
        self.world = world
        self.stop = hands.stop or Stop()
        share, usual = max(1, cores() // world.local), had_threads or fitting_threads(setup)
        # torchrun tells every process to use one thread, which is right for none of them
        self.threads = count_threads(hands.threads, usual if world.size == 1 else min(usual or share, share))
        self.workers = hands.workers if hands.workers is not None else share
        device = pick_device(hands.device, world)
        recipe, train = setup.recipe, splits.train
        net = setup.network(seed)
        plan = Plan(len(train), recipe.batch, recipe.epochs, smallest_batch(net))
        require_shares(plan, world.size, recipe.accumulate)
        self.trainer = Trainer(
            net, recipe, plan, seed, device, pick_precision(recipe.precision, device),
            balanced(train.counts()) if recipe.class_weights == "balanced" else None, world,
        )  # fmt: skip
        self.feed = Feed(train, plan, recipe, setup.preprocessing, seed, self.workers, world)
        self.notes = list(setup.notes)
        self.origin = origin

    def sinks(self, more: Sequence[Sink]) -> list[Sink]:
        if not self.world.first:
            return []
        skipped = ((row.path, row.reason) for row in self.splits.skipped)
        own = MetricsFile(self.run / "metrics.jsonl"), SkippedFile(self.run / "skipped.csv", skipped)
        return [*own, ReportFile(self.run, self.hands.lang), *more]

    def begin(self, minutes: float | None, command: Sequence[str]) -> Iterator[Event]:
        """The events of a new run."""
        with using_threads(self.threads), repeatable(self.trainer.device):
            yield from self._begin(minutes, command)

    def go_on(self) -> Iterator[Event]:
        """The events of a run from its newest whole checkpoint on."""
        with using_threads(self.threads), repeatable(self.trainer.device):
            yield from self._go_on()

    def _begin(self, minutes: float | None, command: Sequence[str]) -> Iterator[Event]:
        self._first(lambda: require_room(self.run, self._bytes()))
        self.world.tensors_from_first(list(self.trainer.network.state_dict().values()))
        speed = measure(self.trainer, self.feed, self.splits.val, partial(self.stop.agreed, self.world))
        if speed is None:
            yield Finished(0, 0, self.stop.name, 0.0, self.run, None, None)
            return
        if minutes is not None:
            self._shorten(speed, minutes)
        self._first(lambda: self._found(command))
        yield self._started(speed.rest(self.trainer.plan, len(self.splits.val), 0))
        yield from (Skipped(0, row.path, row.reason) for row in self.splits.skipped)
        yield from self._loop().events()

    def _first(self, work: Callable[[], object]) -> None:
        """Work of the first process alone; when it fails, it fails for all."""
        self.world.together(lambda: work() if self.world.first else None)

    def _found(self, command: Sequence[str]) -> None:
        """The run's directory, and what a resume could not make again."""
        start_run(self.run, self._record(command))
        if self.setup.weights is not None:
            checkpoint.write(self.run / "checkpoints", checkpoint.snapshot(self.trainer))

    def _go_on(self) -> Iterator[Event]:
        path = checkpoint.restore(self.run / "checkpoints", self.trainer, self.notes.append)
        progress, plan = self.trainer.progress, self.trainer.plan
        if path is None:
            self.notes.append("no checkpoint was written yet: the run begins again, as it did the first time")
        loop = self._loop()
        if loop.over():
            recipe = str(self.setup.recipe)
            self.notes.append(
                f"this training has ended, after {progress.evaluated} of {plan.epochs} epochs; to train for "
                f"{plan.epochs} more from its weights: {train_on(self.run, self.origin.get('path'), recipe)}"
            )
        yield self._started(progress.seconds / progress.step * (plan.steps - progress.step) if progress.step else None)
        yield from loop.events()

    def _loop(self) -> Loop:
        t, hands = self.trainer, self.hands
        look = partial(
            judge,
            data=self.splits.val,
            pre=self.setup.preprocessing,
            device=t.device,
            workers=self.workers,
            stopped=self.stop,
            world=self.world,
        )
        return Loop(
            self.run, t, self.feed, look, self._keep, self.stop, hands.checkpoint_seconds, hands.checkpoint_steps
        )

    def _started(self, seconds: float | None) -> Started:
        t = self.trainer
        return Started(
            run=self.run, spec=str(self.setup.spec), recipe=str(t.recipe), classes=self.splits.train.classes,
            n_train=len(self.splits.train), n_val=len(self.splits.val), epochs=t.plan.epochs, steps=t.plan.steps,
            step=t.progress.step, evaluated=t.progress.evaluated, device=str(t.device), precision=t.precision, threads=self.threads,
            world=self.world.size, seconds=seconds, notes=tuple(self.notes),
        )  # fmt: skip

    def _shorten(self, speed: Speed, minutes: float) -> None:
        t = self.trainer
        epochs = fitting_epochs(speed, t.plan, len(self.splits.val), minutes)
        if epochs == t.plan.epochs:
            return
        self.notes.append(f"{epochs} of {t.plan.epochs} epochs fit into {minutes:g} minutes")
        t.recipe = t.recipe.replace(epochs=epochs)
        t.plan = replace(t.plan, epochs=epochs)
        self.feed = replace(self.feed, plan=t.plan, recipe=t.recipe)

    def _record(self, command: Sequence[str]) -> dict[str, Any]:
        """run.json: what `resume` needs, and what a reader wants to know."""
        t, train = self.trainer, self.splits.train
        return {
            "command": list(command),
            "spec": self.setup.spec.to_dict(),
            "network": str(self.setup.spec),
            "recipe": t.recipe.to_dict(),
            "preprocessing": self.setup.preprocessing.to_dict(),
            "data": {
                "kind": train.kind, "fingerprint": train.fingerprint, "classes": list(train.classes), "n": len(train),
                "train": _part(train).to_dict(), "val": _part(self.splits.val).to_dict(), **self.origin,
            },
            "seed": self.seed,
            "device": str(t.device),
            "precision": t.precision,
            "threads": self.threads,
            "world": self.world.size,
            "versions": _versions(),
        }  # fmt: skip

    def _keep(self, tensors: Arrays, metrics: dict[str, Any], step: int) -> None:
        """Writes RUN/bundle."""
        t, data = self.trainer, self.splits
        if len(data.train.classes) > MOST_CLASSES_WITH_CONFUSION:
            metrics = {key: value for key, value in metrics.items() if key != "confusion"}
        provenance = Provenance(
            network=str(self.setup.spec), recipe=t.recipe.to_dict(), seed=self.seed, step=step,
            data=DataRecord(
                kind=data.train.kind, train=_part(data.train), val=_part(data.val), val_split=self.origin.get("val_split")
            ),
            device=str(t.device), precision=t.precision, threads=self.threads, versions=_versions(),
        )  # fmt: skip
        save_bundle(
            self.run / "bundle",
            self.setup.spec,
            data.train.classes,
            self.setup.preprocessing,
            tensors,
            metrics,
            provenance,
        )

    def _bytes(self) -> int:
        """What the checkpoints of a run take at most: the kept ones, the best, one being written; and two bundles."""
        weights = sum(t.nbytes for t in self.trainer.network.state_dict().values())
        copies = 3 if self.trainer.average is not None else 2
        return weights * (copies * (checkpoint.KEEP + 2) + 2) + (1 << 22)


def train_on(run: str | Path, data: str | Path | None, recipe: str) -> str:
    """The command for a new training that begins with the weights of `run`."""
    return f"plusx train --weights {shlex.quote(str(run))} --data {shlex.quote(str(data or 'DATA'))} --recipe {shlex.quote(recipe)}"


def fitting_threads(setup: Setup) -> int | None:
    """1 where a batch is too little work to be shared, None (all) elsewhere.

    Two threads on a batch of 8x8 digits wait for each other at every layer; on a busy machine they take several times
    as long as one.
    """
    macs = analyse(setup.spec, setup.recipe.size).totals.macs
    return 1 if macs is not None and macs * setup.recipe.batch < SHARED_MACS else None


def require_shares(plan: Plan, processes: int, accumulate: int = 1) -> None:
    """Raises SpecError when a batch, a part or a process's share of it has fewer images than the network's norm needs."""
    if plan.batch < plan.smallest:
        raise SpecError(
            f"batch={plan.batch} is too small for batch norm, which needs {plan.smallest} images to tell a variance. "
            f"Write batch={plan.smallest} or more, or train a network without batch norm, e.g. norm=group8."
        )
    if plan.batch // accumulate < plan.smallest:
        raise SpecError(
            f"accumulate={accumulate} cuts batch={plan.batch} into parts of one image, and batch norm needs two to tell "
            f"a variance. Write accumulate={plan.batch // plan.smallest} or less, or train a network without batch norm, e.g. norm=group8."
        )
    smallest = plan.n // plan.steps_per_epoch
    if smallest < plan.smallest * processes and processes > 1:
        raise SpecError(
            f"batch={plan.batch} gives batches of {smallest} images, too few for {processes} processes: each needs "
            f"{plan.smallest} of every batch. Write a larger batch= or start fewer processes."
        )


def balanced(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weight of each class's images: n / (classes · n of the class), the mean over all images is 1.

    >>> balanced(np.array([30, 10])).round(3).tolist()
    [0.667, 2.0]
    """
    return counts.sum() / (len(counts) * np.maximum(counts, 1).astype(np.float64))


def _part(data: Data) -> PartRecord:
    return PartRecord(len(data), data.fingerprint)


def _versions() -> dict[str, str]:
    return {"plusx": __version__, "torch": torch.__version__, "python": platform.python_version()}
