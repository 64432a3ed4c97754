"""A training run: decided by `create` or `load`, trained by `events`."""

from __future__ import annotations

import copy
import hashlib
import platform
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from plusx import settings
from plusx.bundles import DataRecord, Provenance, RunRecord, check_output_dir, read_run, start_run, tensors_to_bytes
from plusx.data import Data, Splits
from plusx.errors import BundleError, SpecError
from plusx.graph import Graph
from plusx.i18n import Message, _, _n
from plusx.metrics import Evaluation
from plusx.nn import ResNet
from plusx.runtime import processor
from plusx.specs import ResNetSpec
from plusx.training import checkpoint
from plusx.training.bundle_writer import BundleWriter
from plusx.training.claims import claim_existing, claim_new, numbered, require_outside, require_untouched
from plusx.training.distributed import process_group
from plusx.training.estimate import TrainingSpeed, epochs_within, measure_speed
from plusx.training.events import Event, Finished, ImageSkipped, Prepared, Started
from plusx.training.loader import Batches, BatchLoader
from plusx.training.loop import Evaluate, TrainingLoop, is_over
from plusx.training.machine import Compute, deterministic, require_disk_space, using_threads
from plusx.training.maps import DESCRIPTION, FrozenPart, MapLoader, MapSample, MapShape, MapStore, key_of, place_for
from plusx.training.mistake_images import MistakesFile
from plusx.training.model_evaluation import BATCH, evaluate_model
from plusx.training.naming import default_recipe, new_run_command, run_stem
from plusx.training.optimiser import MOMENTS
from plusx.training.options import RunOptions
from plusx.training.probing import probed_head
from plusx.training.recipe import Recipe, parse_recipe
from plusx.training.report_sink import ReportFile
from plusx.training.restarts import jobs
from plusx.training.run_data import DataOrigin, part_record, require_same_data, resolved_path
from plusx.training.schedule import Schedule, require_batch_sizes
from plusx.training.setup import Setup, default_threads, prepare
from plusx.training.sinks import MetricsFile, Sink, SkippedFile
from plusx.training.step import Trainer, balanced_weights, smallest_batch
from plusx.training.tensorboard_log import TensorBoardLog, is_logged
from plusx.version import __version__

MAPS_SHARE = 0.5
"""Of the time that `minutes` gives, at most so much goes into the maps of frozen layers."""


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """A run in which everything is decided, except how many epochs fit into `options.minutes`. Nothing is written yet.

    `setup` holds network, recipe and preprocessing with concrete values; `network` has its first weights. `path` is taken
    by `claimed`.
    """

    path: Path
    setup: Setup
    splits: Splits
    origin: DataOrigin
    seed: int
    options: RunOptions
    compute: Compute
    network: ResNet
    resumes: bool = False
    """Whether `events` continues from the newest checkpoint of `path`."""
    speed: TrainingSpeed | None = None
    """How fast it trains, where `planned` has decided how many views and epochs there are."""
    stem: Path | None = None
    """Where `path` was not named: it without its number, which `claimed` decides."""

    @classmethod
    def create(
        cls,
        network: str | ResNetSpec | Graph | None,
        data: str | Path | Splits,
        recipe: str | Recipe | None = None,
        out: str | Path | None = None,
        options: RunOptions | None = None,
    ) -> TrainingRun:
        """A new run; the arguments are those of `fit`. Raises SpecError, DataError, WeightsError, BundleError, RunError."""
        options = options or RunOptions()
        group = process_group(options.device)

        def decide() -> TrainingRun:
            origin = DataOrigin(resolved_path(data), options.val_split, options.columns)
            splits = origin.open(data, options.seed, group, options.on_index)
            chosen = recipe if isinstance(recipe, Recipe) else parse_recipe(recipe or "", default_recipe(splits))
            setup = prepare(network, splits, chosen, options.weights, options.preprocessing)
            named = splits.train.kind if isinstance(data, Splits) else data
            stem = None if out is not None else run_stem(setup.spec, named)
            path = Path(out) if out is not None else numbered(run_stem(setup.spec, named), 1)
            require_outside(path, origin.path, splits.train)
            if group.is_rank0 and stem is None:
                check_output_dir(path)
            compute = Compute.choose(options, group, setup.recipe.precision, default_threads(setup))
            model = setup.network(options.seed)
            return cls(path, setup, splits, origin, options.seed, options, compute, model, stem=stem)._checked()

        return group.run_on_all_ranks(decide)

    @classmethod
    def load(
        cls, path: str | Path, options: RunOptions | None = None, data: str | Path | Splits | None = None
    ) -> TrainingRun:
        """The run at `path`, to be continued; `data` in place of the recorded path. Raises BundleError, DataError, SpecError."""
        options = options or RunOptions()
        options.require_resumable()
        group = process_group(options.device)

        def decide() -> TrainingRun:
            found = group.broadcast(group.run_on_rank0(partial(read_run, path)))
            if found is None:
                raise RuntimeError("rank 0 read no run and raised nothing")
            origin = DataOrigin.from_record(found.data, found.path)
            where = data if data is not None else origin.path
            if where is None:
                raise BundleError(
                    _(
                        "The run {run} was made from data in memory. Pass them again: resume(run, data=splits).",
                        run=path,
                    )
                )
            splits = origin.open(where, found.seed, group, options.on_index)
            require_same_data(found, splits)
            if found.preprocessing is None or found.precision is None:
                raise BundleError(
                    _("{run} does not say how its images were prepared or computed. Use another copy.", run=found.path)
                )
            recipe = _recipe(found)
            if found.threads is not None:
                settings.check_threads(found.threads)
            setup = Setup(found.spec, recipe, found.preprocessing, None, ())
            compute = Compute.choose(options, group, found.precision, found.threads or default_threads(setup))
            model = setup.network(found.seed)
            return cls(found.path, setup, splits, origin, found.seed, options, compute, model, resumes=True)._checked()

        return group.run_on_all_ranks(decide)

    def _checked(self) -> TrainingRun:
        """This run, if its batches are large enough. Raises SpecError."""
        recipe = self.setup.recipe
        if recipe.views and self.compute.group.world_size > 1:
            raise SpecError(_("views= keeps its maps in one process. Start without torchrun, or write views=0."))
        require_batch_sizes(self.schedule, self.compute.group.world_size, self.setup.recipe.accumulate)
        return self

    @property
    def schedule(self) -> Schedule:
        recipe = self.setup.recipe
        return Schedule(len(self.splits.train), recipe.batch, recipe.epochs, smallest_batch(self.network))

    @contextmanager
    def claimed(self) -> Iterator[TrainingRun]:
        """This run in its directory, which no other process writes to until the end. Raises BundleError, RunError."""
        group = self.compute.group
        with ExitStack() as stack:

            def claim() -> tuple[Path, Message | None]:
                return claim_existing(self.path, stack) if self.resumes else claim_new(self.path, self.stem, stack)

            found = group.broadcast(group.run_on_rank0(claim))
            if found is None:
                raise RuntimeError("rank 0 has no directory and raised nothing")
            path, note = found
            notes = self.setup.notes if note is None else (*self.setup.notes, note)
            yield replace(self, path=path, setup=replace(self.setup, notes=notes))

    def events(self) -> Iterator[Event]:
        """Trains, one step each time the next event is asked for. Raises RunError, BundleError."""
        with using_threads(self.compute.threads), deterministic(self.compute.device):
            yield from self._resume() if self.resumes else self._start()

    def sinks(self) -> list[Sink]:
        """The run's own files, on rank 0. The report reads the others, so it comes last."""
        if not self.compute.group.is_rank0:
            return []
        skipped = ((row.path, row.reason) for row in self.splits.skipped)
        logs = [TensorBoardLog(self.path, shlex.join(self.options.command))] if self._is_logged() else []
        return [
            MetricsFile(self.path / "metrics.jsonl"),
            SkippedFile(self.path / "skipped.csv", skipped),
            *logs,
            MistakesFile(self.path, self.splits.val),
            ReportFile(self.path, self.options.lang),
        ]

    def _is_logged(self) -> bool:
        return self.options.log == "tensorboard" or (self.resumes and is_logged(self.path))

    def _start(self) -> Iterator[Event]:
        self.compute.group.run_on_rank0(partial(require_disk_space, self.path, self._disk_bytes()))
        if not self.with_head():
            yield Finished(0, 0, self.options.stop.name, 0.0, self.path, None, None)
            return
        self.compute.group.broadcast_tensors(list(self.network.state_dict().values()))
        speed = self.speed or self.measured()
        if speed is None:
            yield Finished(0, 0, self.options.stop.name, 0.0, self.path, None, None)
            return
        run = self if self.speed is not None else self.planned(speed)
        trainer = run.trainer(run.network)
        self.compute.group.run_on_rank0(partial(run._write_start, trainer, jobs(self.compute.group)))
        yield run._started(
            trainer, run.setup.notes, run.least_seconds(speed, run.setup.recipe.epochs, run.setup.recipe.views)
        )
        yield from (ImageSkipped(0, row.path, row.reason) for row in run.splits.skipped)
        yield from run._train(trainer)

    def with_head(self) -> bool:
        """Gives the network its first classifier where the recipe wants a probe's; False when stopped meanwhile."""
        if self.setup.recipe.head != "probe" or self.setup.first is None:
            return True
        head = self.compute.group.run_on_rank0(
            partial(probed_head, self.setup.first, self.splits, self.setup.recipe, self.seed, self.options)
        )
        if self.compute.group.any_rank(head is None and self.compute.group.is_rank0):
            return False
        if head is not None:
            self.network.load_state_dict(
                {**self.network.state_dict(), **{k: torch.from_numpy(np.array(a)) for k, a in head.items()}}
            )
        return True

    def measured(self) -> TrainingSpeed | None:
        """The speed of the first batches; None when stopped. It is measured on a copy, so the run's weights are untouched."""
        with using_threads(self.compute.threads), deterministic(self.compute.device):
            probe, images = self.trainer(copy.deepcopy(self.network)), self.loader()
            if not self.setup.recipe.views:
                few = self.splits.val.subset(np.arange(min(BATCH, len(self.splits.val))))
                return measure_speed(probe, images, self._evaluator(few), len(few), self.options.stop)
            sample = MapSample.of(self._frozen(self.network), images, self.options.stop)
            if sample is None:
                return None
            return measure_speed(probe, sample, sample.evaluate, sample.n, self.options.stop, sample.seconds)

    def least_seconds(self, speed: TrainingSpeed, epochs: int, views: int = 1) -> float:
        """How long so many epochs take, with the maps of so many views where any are kept."""
        n_train, n_val = len(self.splits.train), len(self.splits.val)
        return speed.map * (n_train * views + n_val) + epochs * speed.epoch(self.schedule, n_val)

    def _train(self, trainer: Trainer) -> Iterator[Event]:
        """The loop over images, or over maps of the frozen part, which are computed first."""
        if not self.setup.recipe.views:
            yield from self._loop(trainer, self.loader(), self._evaluator(self.splits.val)).events()
            return
        loader = self.map_loader(trainer.network)
        step = trainer.progress.step
        for done, total, skipped in loader.fill(self.options.stop):
            yield from (ImageSkipped(step + 1, row.path, row.reason) for row in skipped)
            yield Prepared(step, done, total)
        yield from self._loop(trainer, loader, loader.evaluate).events()
        if self.options.maps is None and not self.options.stop():
            loader.store.remove()

    def _resume(self) -> Iterator[Event]:
        notes: list[str] = list(self.setup.notes)
        trainer = self.trainer(self.network)
        path = checkpoint.restore(self.path / "checkpoints", trainer, notes.append)
        progress, schedule = trainer.progress, self.schedule
        command = new_run_command(self.path, self.origin.path, str(self.setup.recipe))
        if path is None:
            self.compute.group.run_on_rank0(partial(require_untouched, self.path, command))
            notes.append(_("No checkpoint was written yet, so the run starts from its first step."))
        if is_over(trainer):
            notes.append(
                _n(
                    "This training has ended after {done} of {n} epoch. To train for another from its weights: {command}",
                    "This training has ended after {done} of {n} epochs. To train for {n} more from its weights: {command}",
                    schedule.epochs, done=progress.evaluated, command=command,
                )
            )  # fmt: skip
        seconds = progress.seconds / progress.step * (schedule.steps - progress.step) if progress.step else None
        yield self._started(trainer, notes, seconds)
        yield from self._train(trainer)

    def planned(self, speed: TrainingSpeed) -> TrainingRun:
        """The run with as many views and epochs as fit onto the disk and into `options.minutes`: then everything is decided."""
        recipe, notes = self.setup.recipe, list(self.setup.notes)
        seconds = None if self.options.minutes is None else self.options.minutes * 60
        n_train, n_val = len(self.splits.train), len(self.splits.val)
        if recipe.views:
            shape = MapShape.of(self.network, recipe, n_train, n_val)
            place, views = place_for(shape, self._map_places())
            if seconds is not None:
                most = int(MAPS_SHARE * seconds / (speed.map * n_train))
                views, seconds = (
                    max(1, min(views, most)),
                    max(0.0, seconds - speed.map * (n_val + n_train * max(1, min(views, most)))),
                )
            notes.append(
                _n(
                    "the maps after {part} of {n} view of every image are kept while it trains: {gb:.2f} GB at {place}",
                    "the maps after {part} of {n} views of every image are kept while it trains: {gb:.2f} GB at {place}",
                    views, part=recipe.freeze, gb=shape.bytes(views) / 1e9, place=place,
                )
            )  # fmt: skip
            recipe = recipe.replace(views=views)
        if seconds is not None:
            epochs = epochs_within(speed, self.schedule, n_val, seconds)
            if epochs != recipe.epochs:
                values = {"epochs": epochs, "all": recipe.epochs, "minutes": self.options.minutes}
                notes.append(_("{epochs} of {all} epochs fit into {minutes:g} minutes", **values))
                recipe = recipe.replace(epochs=epochs)
        return replace(self, setup=replace(self.setup, recipe=recipe, notes=tuple(notes)), speed=speed)

    def trainer(self, network: ResNet) -> Trainer:
        """A trainer of `network` by this run's recipe, at step 0."""
        recipe = self.setup.recipe
        weights = balanced_weights(self.splits.train.counts()) if recipe.class_weights == "balanced" else None
        return Trainer(
            network,
            recipe,
            self.schedule,
            self.seed,
            self.compute.device,
            self.compute.precision,
            weights,
            self.compute.group,
            self.setup.preprocessing,
            recipe.freeze if recipe.views else None,
        )

    def loader(self) -> BatchLoader:
        """The batches of this run's training images."""
        return BatchLoader(
            self.splits.train,
            self.schedule,
            self.setup.recipe,
            self.setup.preprocessing,
            self.seed,
            self.compute.workers,
            self.compute.group,
        )

    def _evaluator(self, data: Data) -> Evaluate:
        pre, compute = self.setup.preprocessing, self.compute

        def evaluate(network: nn.Module, stopped: Callable[[], bool]) -> Evaluation | None:
            return evaluate_model(network, data, pre, compute.device, compute.workers, stopped, group=compute.group)

        return evaluate

    def _frozen(self, network: ResNet) -> FrozenPart:
        return FrozenPart.of(
            network,
            str(self.setup.recipe.freeze),
            self.compute.precision,
            self.compute.device,
            self.setup.preprocessing,
        )

    def _map_places(self) -> list[Path]:
        """Where maps may lie: beside the run, or in the cache if its disk has more room."""
        if self.options.maps is not None:
            return [self.options.maps]
        return [
            self.path / "maps",
            settings.cache_dir() / "maps" / hashlib.sha256(bytes(self.path.absolute())).hexdigest()[:16],
        ]

    def map_loader(self, network: nn.Module) -> MapLoader:
        """Batches of maps behind the frozen part of `network`; they are computed by its `fill`."""
        if not isinstance(network, ResNet):
            raise TypeError(type(network))
        images, frozen = self.loader(), self._frozen(network)
        shape = MapShape.of(network, self.setup.recipe, len(self.splits.train), len(self.splits.val))
        places = self._map_places()
        place = next((place for place in places if (place / DESCRIPTION).is_file()), None)
        store = MapStore(place or place_for(shape, places)[0], shape, key_of(frozen, images, self.splits.val))
        return MapLoader(images, self.splits.val, frozen, store)

    def _loop(self, trainer: Trainer, loader: Batches, evaluate: Evaluate) -> TrainingLoop:
        setup = self.setup
        bundle = BundleWriter(
            self.path / "bundle", setup.spec, self.splits.train.classes, setup.preprocessing, self.provenance()
        )
        return TrainingLoop(self.path, trainer, loader, evaluate, bundle, self.options)

    def _write_start(self, trainer: Trainer, agents: list[str]) -> None:
        """The first weights where a resume could not compute them again, then run.json: without these it has not begun."""
        record = {**self.record(), "job": agents}
        if self.setup.weights is not None:
            shot = checkpoint.snapshot(trainer)
            record["first_weights"] = hashlib.sha256(tensors_to_bytes(shot.arrays["model"])).hexdigest()
            checkpoint.write(self.path / "checkpoints", shot)
        start_run(self.path, record)

    def _started(self, trainer: Trainer, notes: Sequence[str], seconds: float | None) -> Started:
        progress, schedule = trainer.progress, self.schedule
        return Started(
            run=self.path, spec=str(self.setup.spec), recipe=str(self.setup.recipe), classes=self.splits.train.classes,
            n_train=len(self.splits.train), n_val=len(self.splits.val), epochs=schedule.epochs, steps=schedule.steps,
            step=progress.step, evaluated=progress.evaluated, device=str(self.compute.device), precision=self.compute.precision,
            threads=self.compute.threads, world_size=self.compute.group.world_size, seconds=seconds, notes=tuple(notes),
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """The content of run.json: what `load` needs, and what a reader wants to know."""
        train = self.splits.train
        return {
            "command": list(self.options.command),
            "spec": self.setup.spec.to_dict(),
            "preprocessing": self.setup.preprocessing.to_dict(),
            **self.provenance().to_dict(),
            "data": {
                "kind": train.kind, "fingerprint": train.fingerprint, "classes": list(train.classes), "n": len(train),
                "train": part_record(train).to_dict(), "val": part_record(self.splits.val).to_dict(), **self.origin.to_dict(),
            },
            "world_size": self.compute.group.world_size, "machine": processor.name(),
        }  # fmt: skip

    def provenance(self) -> Provenance:
        """What a bundle says about where its weights come from, beside the step."""
        train, val = self.splits.train, self.splits.val
        return Provenance(
            network=str(self.setup.spec), recipe=self.setup.recipe.to_dict(), seed=self.seed,
            data=DataRecord(train.kind, train=part_record(train), val=part_record(val), val_split=self.origin.val_split),
            device=str(self.compute.device), precision=self.compute.precision, threads=self.compute.threads, versions=_versions(),
        )  # fmt: skip

    def _disk_bytes(self) -> int:
        """What a run takes at most: the checkpoints kept, the best one, one being written, and two bundles."""
        weights = sum(t.nbytes for t in self.network.state_dict().values())
        copies = 1 + MOMENTS[self.setup.recipe.optimiser] + bool(self.setup.recipe.ema)
        return weights * (copies * (checkpoint.KEEP + 2) + 2) + (1 << 22)


def _recipe(found: RunRecord) -> Recipe:
    """The recipe of a run. Raises SpecError for keys and values that there are not, BundleError for what plusx never writes."""
    try:
        recipe = Recipe.from_dict(dict(found.recipe))
        str(recipe)  # which asks for the recipe of its name
        return recipe
    except SpecError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BundleError(
            _("{path} has an invalid value of {key}. Use another copy.", path=found.path / "run.json", key="recipe")
        ) from error


def _versions() -> dict[str, str]:
    return {"plusx": __version__, "torch": torch.__version__, "python": platform.python_version()}
