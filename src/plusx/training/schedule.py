"""The schedule of a run: the one integer `step` decides the epoch, the images and the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from plusx.errors import SpecError
from plusx.i18n import _, _n
from plusx.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Schedule:
    """`n` images an epoch in batches of at most `batch`, for `epochs` epochs.

    An epoch is cut into batches whose sizes differ by at most one, so no image is dropped or seen twice. None has
    fewer than `smallest` images (unless n has fewer): 2 where batch norm needs two for a variance, else 1.

    >>> schedule = Schedule(n=10, batch=4, epochs=2)
    >>> [schedule.span(step) for step in range(schedule.steps)]
    [(0, 0, 3), (0, 3, 6), (0, 6, 10), (1, 0, 3), (1, 3, 6), (1, 6, 10)]
    """

    n: int
    batch: int
    epochs: int
    smallest: int = 2

    @property
    def steps_per_epoch(self) -> int:
        return max(1, min(math.ceil(self.n / self.batch), self.n // self.smallest))

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.epochs

    def span(self, step: int) -> tuple[int, int, int]:
        """Epoch (from 0) of step `step` (from 0), and the half-open range of positions in that epoch's permutation."""
        epoch, k = divmod(step, self.steps_per_epoch)
        return epoch, k * self.n // self.steps_per_epoch, (k + 1) * self.n // self.steps_per_epoch


def require_batch_sizes(schedule: Schedule, world_size: int, accumulate: int = 1) -> None:
    """Raises SpecError when a batch, a part of one or a process's share has fewer images than the network's norm needs."""
    if schedule.batch < schedule.smallest:
        raise SpecError(
            _(
                "batch={batch} is too small for batch norm, which needs {least} images to compute a variance. Write "
                "batch={least} or more, or train a network without batch norm, e.g. norm=group8.",
                batch=schedule.batch, least=schedule.smallest,
            )
        )  # fmt: skip
    if schedule.batch // accumulate < schedule.smallest:
        raise SpecError(
            _(
                "accumulate={parts} cuts batch={batch} into parts of one image, and batch norm needs two to compute a "
                "variance. Write accumulate={most} or less, or train a network without batch norm, e.g. norm=group8.",
                parts=accumulate, batch=schedule.batch, most=schedule.batch // schedule.smallest,
            )
        )  # fmt: skip
    smallest = schedule.n // schedule.steps_per_epoch
    if world_size > 1 and smallest < schedule.smallest * world_size:
        raise SpecError(
            _n(
                "batch={batch} gives batches of {n} image, too few for {processes} processes: each needs {least} of every "
                "batch. Write a larger batch= or start fewer processes.",
                "batch={batch} gives batches of {n} images, too few for {processes} processes: each needs {least} of every "
                "batch. Write a larger batch= or start fewer processes.",
                smallest, batch=schedule.batch, processes=world_size, least=schedule.smallest,
            )
        )  # fmt: skip


def training_size(recipe: Recipe, epoch: int) -> int:
    """Side in pixels of the images of epoch `epoch` (from 0): linear from size_from to size, in whole fourteenths.

    A fourteenth of 224 is 16 pixels, which every network here halves without a remainder until its last stage. The
    recipe's size is a number.

    >>> recipe = Recipe("default", epochs=8, size=224, size_from=128, grow=0.5)
    >>> [training_size(recipe, epoch) for epoch in range(8)]
    [128, 160, 176, 192, 224, 224, 224, 224]
    """
    if recipe.size is None:
        raise ValueError("the recipe still says size=auto")
    if recipe.size_from is None:
        return recipe.size
    grown = min(1.0, epoch / (recipe.grow * recipe.epochs))
    unit = max(1, recipe.size // 14)
    wanted = recipe.size_from + (recipe.size - recipe.size_from) * grown
    return recipe.size if grown == 1 else min(recipe.size, max(recipe.size_from, round(wanted / unit) * unit))


def learning_rate(recipe: Recipe, schedule: Schedule, step: int) -> float:
    """Linear warm-up from `lr · warmup_from` (where step -1 would be) to `lr`, then the recipe's curve.

    cosine: half a cosine to `lr · lr_end` (SGDR, Loshchilov and Hutter 2017, eq. 5). poly, step and onecycle: torch's
    PolynomialLR, MultiStepLR and OneCycleLR; milestones are shares of all steps.

    >>> recipe = Recipe("default", epochs=2, batch=5, lr=1.0, warmup=0.5)
    >>> [round(learning_rate(recipe, Schedule(n=10, batch=5, epochs=2), step), 3) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    steps = schedule.steps
    warm = round(recipe.warmup * steps)
    if recipe.schedule == "onecycle":
        return recipe.lr * _one_cycle(recipe, step, warm, steps)
    if step < warm:
        return recipe.lr * (recipe.warmup_from + (1 - recipe.warmup_from) * (step + 1) / warm)
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        return recipe.lr * recipe.gamma ** sum(step >= round(share * steps) for share in recipe.milestones)
    done = (step - warm) / max(1, steps - warm)
    left = (1 - done) ** recipe.power if recipe.schedule == "poly" else _half_cosine(done)
    return recipe.lr * (recipe.lr_end + (1 - recipe.lr_end) * left)


def _one_cycle(recipe: Recipe, step: int, warm: int, steps: int) -> float:
    """The share of lr at a step: half a cosine up from warmup_from, and one down to lr_end at the last step.

    Both ends count as steps, as in torch's OneCycleLR (Smith and Topin 2018, arXiv 1708.07120).
    """
    top = max(0, warm - 1)
    if step < top:
        return 1 - (1 - recipe.warmup_from) * _half_cosine(step / top)
    return recipe.lr_end + (1 - recipe.lr_end) * _half_cosine((step - top) / max(1, steps - 1 - top))


def _half_cosine(done: float) -> float:
    """From 1 to 0 as `done` goes from 0 to 1."""
    return (1 + math.cos(math.pi * done)) / 2
