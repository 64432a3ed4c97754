"""A training in stages, each only while it pays: a probe on frozen features, further views, then the last stage, then the whole network."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from plusx.bundles import (
    newest_complete,
    open_bundle,
    read_checkpoint_dir,
    save_bundle,
    start_run,
    write_checkpoint_dir,
)
from plusx.bundles.atomic import remove_dir
from plusx.bundles.run import read_run, restore_replaced
from plusx.bundles.run_place import CHECKPOINTS, FIRST_BUNDLE, RUN_FILE
from plusx.data import Splits
from plusx.errors import BundleError, DataError, DivergedError, RunError, SpecError
from plusx.graph import Graph
from plusx.i18n import Message, _, _n, duration
from plusx.probing.running import ProbeOutcome, Probing, tried_views
from plusx.probing.views import MIRRORED
from plusx.specs import ResNetSpec
from plusx.training.claims import require_untouched
from plusx.training.events import Event, Finished, Prepared, StageEnded, StagesStarted
from plusx.training.folds import FEW, FOLDS, Evidence, FoldTraining
from plusx.training.machine import using_threads
from plusx.training.mistake_images import MistakesFile
from plusx.training.naming import new_run_command
from plusx.training.options import RunOptions
from plusx.training.probing import probing_of
from plusx.training.recipe import Recipe, parse_recipe, preset
from plusx.training.recipe_keys import READ
from plusx.training.report_sink import ReportFile
from plusx.training.restarts import jobs
from plusx.training.run import TrainingRun
from plusx.training.sinks import Sink, SkippedFile, StagesFile, tee

STAGES = {"probe": ("probe", "views"), "auto": ("probe", "views", "layer4", "finetune")}
"""The stages of each recipe that has stages: the probe, the same of mirrored images and crops too, then recipes."""
PROBES = ("probe", "views")
MINUTES = 10.0
"""The time that the stages of `auto` may take where nothing says otherwise."""
LEAST_EPOCHS = 3
"""A stage that has no time for so many epochs is not begun."""


@dataclass
class Progress:
    """What a run in stages has done: what `plusx runs` reads of any run, and the stages."""

    step: int = 0
    evaluated: int = 0
    """Stages that are over."""
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    kept: dict[str, Any] | None = None
    flip: bool | None = None
    """Whether mirrored images helped the probe in its folds; None where that was not tried."""
    stages: list[dict[str, Any]] = field(default_factory=list)


@dataclass(eq=False)
class StagedRun:
    """A run of the recipe `probe` or `auto`. Its directory holds the best bundle, and a directory for each stage."""

    base: TrainingRun
    """What was decided: network, data, preprocessing, first weights. It trains nothing itself."""
    stages: tuple[str, ...]
    minutes: float | None
    progress: Progress = field(default_factory=Progress)
    plain: ProbeOutcome | None = None
    """The probe, where this process made it."""
    outcome: ProbeOutcome | None = None
    """The same after further views were tried."""
    mistakes: list[dict[str, Any]] = field(default_factory=list)
    """Those of the stage that ended last."""

    @classmethod
    def create(
        cls,
        network: str | ResNetSpec | Graph | None,
        data: str | Path | Splits,
        recipe: str | Recipe,
        out: str | Path | None,
        options: RunOptions,
    ) -> StagedRun:
        """The arguments are those of `fit`. Raises SpecError, DataError, WeightsError, BundleError."""
        chosen = recipe if isinstance(recipe, Recipe) else parse_recipe(recipe)
        _require_read(chosen)
        base = TrainingRun.create(network, data, chosen, out, options)
        return cls._of(base, options.minutes)

    @classmethod
    def load(cls, path: str | Path, options: RunOptions, data: str | Path | Splits | None = None) -> StagedRun:
        """The run at `path`, to be continued. Raises BundleError, DataError, SpecError."""
        base = TrainingRun.load(path, options, data)
        return cls._of(base, read_run(base.path).minutes)

    @classmethod
    def _of(cls, base: TrainingRun, minutes: float | None) -> StagedRun:
        if base.compute.group.world_size > 1:
            raise SpecError(
                _("Recipe {name} runs in one process. Start it without torchrun.", name=base.setup.recipe.name)
            )
        name = base.setup.recipe.name
        if name == "auto":
            minutes = minutes or MINUTES
        stages = read_run(base.path).stages if base.resumes else ()
        return cls(base, stages or STAGES[name], minutes)

    @contextmanager
    def claimed(self) -> Iterator[StagedRun]:
        """This run in its directory, which no other process writes to until the end. Raises BundleError, RunError."""
        with self.base.claimed() as base:
            yield replace(self, base=base, progress=_read_progress(base) if base.resumes else Progress())

    def sinks(self) -> list[Sink]:
        path = self.base.path
        skipped = ((row.path, row.reason) for row in self.base.splits.skipped)
        return [
            StagesFile(path / "metrics.jsonl"),
            SkippedFile(path / "skipped.csv", skipped),
            MistakesFile(path, self.base.splits.val),
            ReportFile(path, self.base.options.lang),
        ]

    def events(self) -> Iterator[Event]:
        """Runs the stages. The events of a training within a stage are passed on, except its end."""
        base, progress = self.base, self.progress
        if not base.resumes:
            self._write_start()
        yield StagesStarted(
            step=progress.evaluated, run=base.path, spec=str(base.setup.spec), recipe=str(base.setup.recipe),
            classes=base.splits.train.classes, n_train=len(base.splits.train), n_val=len(base.splits.val),
            stages=self.stages, minutes=self.minutes, notes=base.setup.notes,
        )  # fmt: skip
        begun = time.monotonic() - progress.seconds
        for number, name in enumerate(self.stages[progress.evaluated :], progress.evaluated + 1):
            left = math.inf if self.minutes is None else self.minutes * 60 - (time.monotonic() - begun)
            reason = self._reason_not_to_begin(name, left)
            if reason is not None:
                ended = _not_begun(number, name, reason)
            elif name in PROBES:
                ended = self._probe(number) if name == "probe" else self._views(number)
            else:
                try:
                    ended = yield from self._training(number, name, left)
                except RunError as error:  # what the stages before gave is kept
                    ended = _failed(number, name, error)
            progress.seconds = time.monotonic() - begun
            if ended is None:
                break
            self._record(ended)
            yield ended
        over = progress.evaluated == len(self.stages)
        for rest in (self._first, base.path / "maps") if over else ():
            if rest.exists():
                remove_dir(rest)
        bundle = base.path / "bundle"
        yield Finished(
            progress.evaluated, progress.evaluated, "done" if over else base.options.stop.name, progress.seconds,
            base.path, bundle if bundle.is_dir() else None, progress.kept,
        )  # fmt: skip

    def _write_start(self) -> None:
        """The weights that the run starts from, which are its own from here on, then run.json: without these it has not begun."""
        base, first = self.base, self.base.setup.first
        if first is None:
            raise ValueError("a run in stages starts from weights")
        recipe = base.setup.recipe.to_dict()
        read = {key: recipe[key] for key in ("name", "epochs", *READ[recipe["name"]])}
        weights = dict(first.weights())
        save_bundle(self._first, first.spec, first.classes, first.preprocessing, weights, provenance=first.provenance)
        start_run(
            base.path,
            {
                **base.record(), "recipe": read, "stages": list(self.stages), "minutes": self.minutes,
                "first_weights": open_bundle(self._first).weights_sha256, "job": jobs(base.compute.group),
            },
        )  # fmt: skip

    @property
    def _first(self) -> Path:
        return self.base.path / CHECKPOINTS / FIRST_BUNDLE

    def _reason_not_to_begin(self, name: str, left: float) -> Message | None:
        """Why no stage after those before can pay in the seconds that are `left`; None: it may."""
        done, best = self.progress.stages, self.progress.best
        if not done or best is None:
            return None
        n = best["n"]
        if done[-1]["name"] not in PROBES and not done[-1]["best"]:
            return _("{stage} did not pay", stage=done[-1]["name"])
        if name == "finetune" and n < FEW:
            return _n(
                "{n} held-out image is too few to tell whether it pays",
                "{n} held-out images are too few to tell whether it pays", n,
            )  # fmt: skip
        if best["top1"] == 1 and n >= FEW:
            return _("all {n} held-out images are right already", n=n)
        return self._reason_against_views(done[0], left) if name == "views" else None

    def _reason_against_views(self, probe: dict[str, Any], left: float) -> Message | None:
        """Each view takes about as long as the plain one."""
        groups = tried_views(probe["images"])
        if not groups:
            return _("mirrored images and crops of {n:,} images take too long", n=probe["images"])
        need = probe["seconds"] * sum(map(len, groups))
        return _no_time(need, left) if need > left else None

    def _probe(self, number: int) -> StageEnded | None:
        self.plain = self.probing.plain(self.base.path / "probe")
        return None if self.plain is None else self._probed(number, "probe", self.plain, best=True)

    def _views(self, number: int) -> StageEnded | None:
        """The probe of further views. The folds say whether they help, and it is kept if they do."""
        with tempfile.TemporaryDirectory(prefix="plusx-probe-") as scratch:
            self.plain = self.plain or self.probing.plain(Path(scratch) / "bundle")
        found = None if self.plain is None else self.probing.with_views(self.plain, self.base.path / "views")
        if found is None:
            return None
        self.outcome, self.progress.flip = found, MIRRORED in found.views
        return self._probed(number, "views", found, best=bool(found.views))

    def _probed(self, number: int, name: str, outcome: ProbeOutcome, best: bool) -> StageEnded:
        found = outcome.evaluation
        if best:
            self.mistakes = [mistake._asdict() for mistake in found.mistakes]
        if found.top1 is None or found.nll is None:
            raise DataError(_("The validation part has no image. Use a larger --val-split."))
        return StageEnded(
            step=number, name=name, n=found.n, top1=found.top1, nll=found.nll, best=best, images=len(outcome.train),
            seconds=outcome.seconds, why="",
        )  # fmt: skip

    @cached_property
    def probing(self) -> Probing:
        base = self.base
        first, data = open_bundle(self._first), base.provenance().data
        return probing_of(first, base.splits, base.setup.recipe, base.seed, base.options, data)

    @property
    def _best_probe(self) -> str:
        """The stage whose classifier the trainings start from."""
        return next(
            (stage["name"] for stage in self.progress.stages if stage["name"] == "views" and stage["best"]), "probe"
        )

    def _last_probe(self) -> ProbeOutcome | None:
        """The outcome of that stage, computed again where another process made it; None when stopped."""
        with tempfile.TemporaryDirectory(prefix="plusx-probe-") as scratch:
            plain = self.plain or self.probing.plain(Path(scratch) / "plain")
            if plain is None or self._best_probe == "probe":
                return plain
            return self.outcome or self.probing.with_views(plain, Path(scratch) / "views")

    def _training(self, number: int, name: str, left: float) -> Generator[Event, None, StageEnded | None]:
        """The training of a stage, in a directory of its own; None when it was stopped."""
        base, path, begun = self.base, self.base.path / name, time.monotonic()
        few = len(base.splits.val) < FEW
        options = replace(
            base.options, weights=None, preprocessing=None, minutes=None, maps=base.path / "maps", command=()
        )
        if (path / RUN_FILE).is_file():
            run = TrainingRun.load(path, options, base.splits)
        else:
            minutes = max(left, 1.0) / 60 / (FOLDS if few else 1)  # FOLDS - 1 trainings in folds, and one on all images
            options = replace(
                options, seed=base.seed, weights=open_bundle(base.path / self._best_probe), minutes=minutes
            )
            run = TrainingRun.create(base.setup.spec, base.splits, self._recipe(name, few), path, options)
            speed = run.measured()
            if speed is None:
                return None
            need = run.least_seconds(speed, LEAST_EPOCHS * (FOLDS if few else 1))
            if need > left:
                return _not_begun(number, name, _no_time(need, left))
            run = run.planned(speed)
            if few:
                judged = yield from self._judged_by_folds(run)
                if judged is None or isinstance(judged, Message):
                    return None if judged is None else _not_begun(number, name, judged)
        finished: Finished | None = None
        with run.claimed() as claimed:
            for event in tee(claimed.events(), claimed.sinks()):
                if isinstance(event, Finished):
                    finished = event
                else:
                    yield event
        kept = finished.kept if finished is not None else None
        if finished is None or kept is None:  # stopped before its first evaluation
            return None
        self.mistakes = kept.get("mistakes", [])
        ended = StageEnded(
            step=number, name=name, n=kept["n"], top1=kept["top1"], nll=kept["nll"],
            best=few or self._is_better(kept["top1"], kept["nll"]), images=len(base.splits.train),
            seconds=time.monotonic() - begun, why="",
        )  # fmt: skip
        if finished.reason in ("done", "early stop"):
            return ended
        if ended.best and not few:
            self._keep(ended)
        return None

    def _judged_by_folds(self, run: TrainingRun) -> Generator[Event, None, bool | Message | None]:
        """True where folds of the training images say that the stage pays, else the reason; None when stopped."""
        base, stopped = self.base, self.base.options.stop
        outcome = self._last_probe()
        if outcome is None:
            return None
        loader = run.map_loader(run.network)
        for done, total, _skipped in loader.fill(stopped):
            yield Prepared(0, done, total)
        probe, setup = outcome.probe.validation, run.setup
        training = FoldTraining(
            run.network, setup.recipe, loader, outcome.train, probe, base.seed, run.compute.precision
        )
        with using_threads(run.compute.threads):
            found = training.evidence(stopped) if loader.store.complete else None
        if found is None:
            return None
        before = Evidence.of(probe.logits[probe.tested], outcome.train.labels[probe.tested])
        if found.is_better_than(before):
            return True
        return _(
            "in folds it had {right} of {n} training images right, and the probe {before}",
            right=found.right, n=found.n, before=before.right,
        )  # fmt: skip

    def _recipe(self, name: str, few: bool) -> Recipe:
        """The stage's recipe with what `auto` was changed in. The part that layer4 freezes is all stages but the last.

        Images are not mirrored where that did not help the probe. With few held-out images the last epoch is kept: the best
        of many on a few images is luck.
        """
        recipe, asked = preset(name), self.base.setup.recipe
        before_last = len(self.base.setup.spec.depths) - 1
        frozen: dict[str, Any] = {"freeze": f"layer{before_last}" if before_last else "stem"} if recipe.views else {}
        keep = "last" if few else recipe.keep
        if self.progress.flip is False:
            frozen["flip"] = False
        return recipe.replace(head="keep", keep=keep, **({key: getattr(asked, key) for key in READ["auto"]} | frozen))

    def _is_better(self, top1: float, nll: float) -> bool:
        """Whether figures of the held-out images speak for the network that has them."""
        best = self.progress.best
        if best is None:
            return True
        n = best["n"]
        now, before = (
            Evidence(n, round(n * one), n * other) for one, other in ((top1, nll), (best["top1"], best["nll"]))
        )
        return now.is_better_than(before)

    def _record(self, ended: StageEnded) -> None:
        """The stage is over: its network is kept if it is the best, and a checkpoint says how far the run is."""
        progress = self.progress
        if ended.best:
            self._keep(ended)
        progress.step = progress.evaluated = ended.step
        progress.stages.append(asdict(ended))
        state = json.dumps({"progress": asdict(progress)}).encode()
        write_checkpoint_dir(self.base.path / CHECKPOINTS, f"step-{ended.step:08d}", {"state.json": state})

    def _keep(self, ended: StageEnded) -> None:
        """The bundle of the stage becomes that of the run."""
        found = open_bundle(self.base.path / ended.name)
        metrics = {**found.metrics, "stage": ended.name}
        save_bundle(
            self.base.path / "bundle", found.spec, found.classes, found.preprocessing, dict(found.weights()), metrics,
            found.provenance,
        )  # fmt: skip
        figures = {"stage": ended.name, "n": ended.n, "top1": ended.top1, "nll": ended.nll}
        self.progress.best = {"epoch": ended.step, "step": ended.step, **figures}
        self.progress.kept = {"epoch": ended.step, **figures, "mistakes": self.mistakes}


def _read_progress(base: TrainingRun) -> Progress:
    """How far the run is. Raises BundleError where that is lost."""
    checkpoints = base.path / CHECKPOINTS
    restore_replaced(checkpoints)
    newest = newest_complete(checkpoints)
    if newest is None:
        require_untouched(base.path, new_run_command(base.path, base.origin.path, str(base.setup.recipe)))
        return Progress()
    try:
        return Progress(**json.loads(read_checkpoint_dir(newest)["state.json"])["progress"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleError(_("{path} is damaged. Start a new run.", path=newest)) from error


def _require_read(recipe: Recipe) -> None:
    """Raises SpecError for a changed key that stages do not read."""
    plain, read = preset(recipe.name).to_dict(), READ[recipe.name]
    for key, value in recipe.to_dict().items():
        if value != plain[key] and key not in read:
            others = " or ".join(stage for stage in STAGES["auto"] if stage not in PROBES)
            raise SpecError(
                _(
                    "Recipe {name} does not read {key}. It reads {keys}. Leave {key} out, or train with recipe {others}.",
                    name=recipe.name, key=key, keys=", ".join(read), others=others,
                )
            )  # fmt: skip


def _failed(number: int, name: str, error: RunError) -> StageEnded:
    diverged = isinstance(error, DivergedError)
    why = _("its numbers became NaN or infinite") if diverged else error.message
    return replace(_not_begun(number, name, why), failed=True)


def _no_time(need: float, left: float) -> Message:
    return _("it needs {need} at least, and {left} are left", need=duration(need), left=duration(max(left, 0.0)))


def _not_begun(number: int, name: str, reason: Message) -> StageEnded:
    return StageEnded(number, name, n=0, top1=0.0, nll=0.0, best=False, images=0, seconds=0.0, why=reason)
