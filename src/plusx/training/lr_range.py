"""The learning-rate range test: the loss while the learning rate grows with every step (Smith 2015, arXiv 1506.01186)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plusx.data import Splits
from plusx.errors import DivergedError, SpecError
from plusx.graph import Graph
from plusx.i18n import _
from plusx.specs import ResNetSpec
from plusx.training.api import named_recipe
from plusx.training.machine import deterministic, using_threads
from plusx.training.options import RunOptions
from plusx.training.recipe import Recipe, recipe_name
from plusx.training.run import TrainingRun
from plusx.training.setup import Setup
from plusx.training.staged import STAGES

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 141
"""20 steps for each power of ten."""
SMOOTHING = 0.9
"""Share of the smoothed loss that a step keeps: the mean of about the last ten, half a power of ten."""
DIVERGED = 4.0
"""The test ends where the smoothed loss is so many times the lowest one, as in fastai's lr_find."""
FELL = 0.98
"""Without a smoothed loss below this share of the first steps' one, no learning rate is suggested."""
SIDE = 5
"""The slope at a step is taken from so many steps before it to as many after it: half a power of ten."""
BEFORE = 30
"""The slope is looked for so many steps before the lowest loss, where the fall is not the noise of the first batches."""


@dataclass(frozen=True)
class LearningRateRange:
    """What the test saw, step by step. `suggested` is None where the loss did not fall, or the test was stopped."""

    rates: Sequence[float]
    losses: Sequence[float]
    """The mean loss of each step's batch."""
    smoothed: Sequence[float]
    diverged: bool
    stopped: bool
    setup: Setup
    """The network and the recipe, with concrete values, that were tried."""

    @property
    def lowest(self) -> int:
        """The step with the lowest smoothed loss."""
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @property
    def steepest(self) -> int | None:
        """The step up to the lowest one around which the smoothed loss falls fastest; None where it never falls."""
        first = self.smoothed[: len(self.smoothed) // 7 or 1]
        if not self.smoothed or not self.smoothed[self.lowest] < FELL * math.fsum(first) / len(first):
            return None
        inside = range(max(SIDE, self.lowest - BEFORE), min(self.lowest + 1, len(self.smoothed) - SIDE))
        return min(inside, key=lambda i: self.smoothed[i + SIDE] - self.smoothed[i - SIDE], default=None)

    @property
    def suggested(self) -> float | None:
        """The rate at which the smoothed loss falls fastest, to one digit (fastai's lr_find calls it `steep`)."""
        return None if self.stopped or self.steepest is None else float(f"{self.rates[self.steepest]:.1g}")


def find_lr(
    network: str | ResNetSpec | Graph | None,
    data: str | Path | Splits,
    recipe: str | Recipe | None = None,
    options: RunOptions | None = None,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> LearningRateRange:
    """Trains a copy of what `fit` would train with rates from 1e-6 to 10, at most 141 steps, and keeps nothing.

    The arguments are those of `fit`. The rest of the recipe counts: batch, optimiser, size, augmentation, frozen part.
    `on_step` gets the steps made and their most. Raises SpecError, DataError, WeightsError, and RunError without memory.
    """
    options = options or RunOptions()
    recipe = named_recipe(recipe, options, stages="finetune")
    name = recipe.name if isinstance(recipe, Recipe) else recipe_name(recipe)
    if name in STAGES:
        raise SpecError(
            _("Recipe {name} has no learning rate of its own. Name another, like --recipe finetune.", name=name)
        )
    run = TrainingRun.create(network, data, recipe, None, options)
    if run.compute.group.world_size > 1:
        raise SpecError(_("The learning-rate test runs in one process. Start it without torchrun."))
    with using_threads(run.compute.threads), deterministic(run.compute.device):
        if not run.with_head():
            return LearningRateRange((), (), (), diverged=False, stopped=True, setup=run.setup)
        return _tested(run, on_step or (lambda done, most: None))


def _tested(run: TrainingRun, on_step: Callable[[int, int], None]) -> LearningRateRange:
    recipe = run.setup.recipe.replace(
        schedule="constant", warmup=0, size_from=None, views=0, thaw=0, ema=0,
        epochs=math.ceil(STEPS / run.schedule.steps_per_epoch),
    )  # fmt: skip
    tried = replace(run, setup=replace(run.setup, recipe=recipe))
    trainer, loader = tried.trainer(run.network), tried.loader()
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    stopped = diverged = False
    batches = loader.batches(0, STEPS)
    for step, (rate, batch) in enumerate(zip(_rates(), batches, strict=True)):
        stopped = run.options.stop()
        if stopped:
            break
        trainer.recipe = recipe.replace(lr=rate)
        try:
            result = trainer.train_step(batch.images, batch.labels, batch.names)
        except DivergedError:
            diverged = True
            break
        if result.n:
            rates.append(rate)
            losses.append(result.loss)
            smoothed.append(_smoothed(losses))
        on_step(step + 1, STEPS)
        diverged = bool(smoothed) and smoothed[-1] > DIVERGED * min(smoothed)
        if diverged:
            break
    return LearningRateRange(rates, losses, smoothed, diverged, stopped, run.setup)


def _rates() -> Iterator[float]:
    """Each a step's factor above the one before.

    >>> rates = list(_rates())
    >>> len(rates), rates[0], round(rates[20], 12), round(rates[-1], 9)
    (141, 1e-06, 1e-05, 10.0)
    """
    for step in range(STEPS):
        yield LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))


def _smoothed(losses: Sequence[float]) -> float:
    """The mean of the losses, a step back weighing SMOOTHING times as much as the next (as fastai corrects its start).

    >>> _smoothed([3.0]), round(_smoothed([3.0, 1.0]), 4)
    (3.0, 1.9474)
    """
    weights = [SMOOTHING**back for back in range(len(losses))]
    return math.fsum(w * x for w, x in zip(weights, reversed(losses), strict=True)) / math.fsum(weights)
