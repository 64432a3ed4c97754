"""Where a step stands: the one integer `step` decides the epoch, the images and the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from plusx.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Plan:
    """`n` images an epoch in batches of at most `batch`, for `epochs` epochs.

    An epoch is cut into batches whose sizes differ by at most one, so no image is dropped or seen twice. None has
    fewer than `smallest` images (unless n has fewer): 2 where batch norm needs two to tell a variance, else 1.

    >>> plan = Plan(n=10, batch=4, epochs=2)
    >>> [plan.span(step) for step in range(plan.steps)]
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
        """Epoch (from 0) of step `step` (from 0), and the half-open range of places in that epoch's order."""
        epoch, k = divmod(step, self.steps_per_epoch)
        return epoch, k * self.n // self.steps_per_epoch, (k + 1) * self.n // self.steps_per_epoch


def training_size(recipe: Recipe, epoch: int) -> int:
    """Side in pixels of the images of epoch `epoch` (from 0): linear from size_from to size, in whole fourteenths.

    A fourteenth of 224 is 16 pixels, which every network here halves without a rest until its last stage. The recipe
    is settled: its size is a number.

    >>> recipe = Recipe("default", epochs=8, size=224, size_from=128, grow=0.5)
    >>> [training_size(recipe, epoch) for epoch in range(8)]
    [128, 160, 176, 192, 224, 224, 224, 224]
    """
    if recipe.size is None:
        raise ValueError("the recipe is not settled: it has no size")
    if recipe.size_from is None:
        return recipe.size
    grown = min(1.0, epoch / (recipe.grow * recipe.epochs))
    unit = max(1, recipe.size // 14)
    wanted = recipe.size_from + (recipe.size - recipe.size_from) * grown
    return recipe.size if grown == 1 else min(recipe.size, max(recipe.size_from, round(wanted / unit) * unit))


def learning_rate(recipe: Recipe, plan: Plan, step: int) -> float:
    """Linear warm-up to `recipe.lr`, then half a cosine to `lr · lr_end` (SGDR, Loshchilov and Hutter 2017, eq. 5).

    >>> recipe = Recipe("default", epochs=2, batch=5, lr=1.0, warmup=0.5)
    >>> [round(learning_rate(recipe, Plan(n=10, batch=5, epochs=2), step), 3) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warm = round(recipe.warmup * plan.steps)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    turn = math.cos(math.pi * (step - warm) / max(1, plan.steps - warm))
    return recipe.lr * (recipe.lr_end + (1 - recipe.lr_end) * (1 + turn) / 2)
