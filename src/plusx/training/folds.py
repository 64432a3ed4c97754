"""Where few images are held out, folds of the training images judge a stage too: a handful of images is luck."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.evaluation.counting import BATCH
from plusx.images import resize_crop
from plusx.nn import ResNet
from plusx.probing.folds import stratified_folds
from plusx.probing.logistic import mean_nll
from plusx.probing.probe import CrossValidation, refit
from plusx.probing.vectors import ImageVectors
from plusx.training.maps import MapLoader, tail_logits
from plusx.training.recipe import Recipe
from plusx.training.schedule import Schedule
from plusx.training.step import Trainer, balanced_weights, smallest_batch

FEW = 100
"""Held-out images below which folds judge as well: the 95 % interval of 90 % is then wider than 6 points either way."""
FOLDS = 3


@dataclass(frozen=True)
class Evidence:
    """Predictions of images that were not trained on: how many, how many are right, and their nll in nats, summed."""

    n: int = 0
    right: int = 0
    nll: float = 0.0

    @classmethod
    def of(cls, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Evidence:
        """Of logits (n, classes) and labels (n,)."""
        if not len(labels):
            return cls()
        right = int((logits.argmax(axis=1) == labels).sum())
        return cls(len(labels), right, mean_nll(logits, labels) * len(labels))

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.n + other.n, self.right + other.right, self.nll + other.nll)

    def is_better_than(self, other: Evidence) -> bool:
        """More of the same images right, by more than chance; else the smaller nll, which tells more of few images.

        Chance is the square root of `other`'s errors, the standard deviation of such a count (Poisson).

        >>> Evidence(100, 90, 40.0).is_better_than(Evidence(100, 91, 50.0)), Evidence(100, 80, 40.0).is_better_than(Evidence(100, 91, 50.0))
        (True, False)
        """
        gain, chance = self.right - other.right, math.sqrt(other.n - other.right)
        return gain > 0 if abs(gain) > chance else self.nll < other.nll


@dataclass(frozen=True, eq=False)
class FoldTraining:
    """Trains the layers behind kept maps once a fold, each time with a probe that has not seen the fold either."""

    network: ResNet
    recipe: Recipe
    loader: MapLoader
    vectors: ImageVectors
    """Of the training images, in the order of the data."""
    probe: CrossValidation
    seed: int
    precision: str

    def evidence(self, stopped: Callable[[], bool]) -> Evidence | None:
        """What the last weights of each fold's training say of the images that it did not see; None when stopped."""
        usable = self.vectors.kept[self.loader.store.readable[0, self.vectors.kept]]
        rows = np.flatnonzero(np.isin(self.vectors.kept, usable))
        maps = self._plain_maps(usable, stopped)
        if maps is None:
            return None
        labels = self.vectors.labels[rows]
        places, found = stratified_folds(labels, self.seed, FOLDS), Evidence()
        for fold in range(int(places.max()) + 1):
            held = np.flatnonzero(places == fold)
            logits = self._logits(rows[places != fold], usable[places != fold], maps[held], stopped)
            if logits is None:
                return None
            found += Evidence.of(logits, labels[held])
        return found

    def _logits(
        self, rows: NDArray[np.int64], images: NDArray[np.int64], maps: NDArray[np.float32], stopped: Callable[[], bool]
    ) -> NDArray[np.float32] | None:
        """float32 (n, classes) of `maps` by a network trained on `images` alone; `rows` are their vectors."""
        recipe, device = self.recipe, self.loader.frozen.device
        labels, classes = self.vectors.labels[rows], self.loader.images.data.classes
        head = refit(self.probe, self.vectors.values[rows], labels, classes, class_weights=recipe.class_weights)
        network = copy.deepcopy(self.network)
        state = {"fc.weight": torch.from_numpy(head.weight), "fc.bias": torch.from_numpy(head.bias)}
        network.load_state_dict({**network.state_dict(), **state})
        schedule = Schedule(len(images), recipe.batch, recipe.epochs, smallest_batch(network))
        counts = np.bincount(labels, minlength=len(classes))
        weights = balanced_weights(counts) if recipe.class_weights == "balanced" else None
        trainer = Trainer(
            network, recipe, schedule, self.seed, device, self.precision, weights, maps_after=self.loader.frozen.part
        )
        for batch in self.loader.batches_of(images, schedule, 0, schedule.steps):
            if stopped():
                return None
            trainer.train_step(batch.images, batch.labels, batch.names)
        evaluated, part = trainer.eval_network(), self.loader.frozen.part
        lows = range(0, len(maps), BATCH)
        return np.concatenate([tail_logits(evaluated, part, maps[low : low + BATCH], device) for low in lows])

    def _plain_maps(self, images: NDArray[np.int64], stopped: Callable[[], bool]) -> NDArray[np.float32] | None:
        """float32 (n, c, h, w): the maps of training images as an evaluation prepares them; None when stopped."""
        data, pre, found = self.loader.images.data, self.loader.images.pre, []
        for low in range(0, len(images), BATCH):
            if stopped():
                return None
            pixels = [resize_crop(data.read(int(i), pre.mode, pre.decode_px), pre) for i in images[low : low + BATCH]]
            found.append(self.loader.frozen.fp32(np.stack(pixels)))
        return np.concatenate(found)
