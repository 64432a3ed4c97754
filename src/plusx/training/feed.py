"""Batches by number: batch `step` is the same whoever asks, whenever, with however many workers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plusx.data import Data, Skipped, crop_boxes, erase, erase_boxes, flip, flips, permutation, shift, shifts
from plusx.errors import DataError
from plusx.images import Preprocessing, normalise, resize_box, resize_crop
from plusx.training.ahead import ahead
from plusx.training.plan import Plan, training_size
from plusx.training.policies import apply_policy
from plusx.training.recipe import Recipe
from plusx.training.world import ALONE, World

_ASPECT = 3 / 4
"""Narrowest box of data.crop_boxes."""


@dataclass(frozen=True)
class Batch:
    """float32 (n, c, h, w), int64 (n,), the images' names, and those that could not be read."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: Sequence[str]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class _Place:
    """A sample: the image that stands at a place of an epoch's order."""

    epoch: int
    place: int
    index: int


@dataclass(frozen=True, eq=False)
class Feed:
    """Training batches: order is a permutation of (seed, epoch), looks a hash of (seed, epoch, place in the order).

    Of several processes each has its share of every batch, so together they see what one would.
    """

    data: Data
    plan: Plan
    recipe: Recipe
    pre: Preprocessing
    seed: int
    workers: int = 0
    world: World = ALONE

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches `start` to `stop` - 1, prepared ahead by the workers if there are any."""
        workers = 0 if self.data.images is not None else self.workers
        for places, found in ahead(self._places(start, stop), self._image, workers):
            yield self._finish(places, found)

    def _places(self, start: int, stop: int) -> Iterator[tuple[list[_Place], list[_Place]]]:
        known, chosen = -1, np.empty(0, np.int64)
        for step in range(start, stop):
            epoch, low, high = self.plan.span(step)
            if epoch != known:
                known, chosen = epoch, permutation(self.plan.n, self.seed, epoch)
            places = [_Place(epoch, place, int(chosen[place])) for place in range(*self.world.share(low, high))]
            yield places, places

    def _image(self, at: _Place) -> NDArray[np.uint8] | Skipped:
        """uint8 (size, size, c); what can be done to a whole batch at once waits for `_finish`."""
        pre = self._pre(at.epoch)
        size = pre.crop_px
        try:
            if self.recipe.crop != "area" or size is None:
                return resize_crop(self.data.read(at.index, pre.mode, pre.decode_px), pre)
            # the smallest box that may be drawn still has `size` pixels a side, so no pixels are made up
            at_least = math.ceil(size / math.sqrt(self.recipe.area * _ASPECT))
            image = self.data.read(at.index, pre.mode, at_least)
            h, w = image.shape[:2]
            box = crop_boxes(self.seed, at.epoch, at.place, h, w, scale=(self.recipe.area, 1.0))[0]
            left, top, right, bottom = (float(side) for side in box)
            return resize_box(image, (left, top, right, bottom), (size, size), pre.interpolation)
        except DataError as error:
            return Skipped(self.data.path(at.index), str(error))

    def _pre(self, epoch: int) -> Preprocessing:
        """What an image of this epoch goes through: the evaluation's, at the epoch's size."""
        pre, full = self.pre, self.pre.crop_px
        if self.recipe.size_from is None or full is None:
            return pre
        size = training_size(self.recipe, epoch)
        return replace(
            pre, crop_px=size, resize_px=None if pre.resize_px is None else round(pre.resize_px * size / full)
        )

    def _finish(self, places: Sequence[_Place], found: Sequence[NDArray[np.uint8] | Skipped]) -> Batch:
        """Those that could be read, shifted, flipped, erased and normalised."""
        skipped = tuple(item for item in found if isinstance(item, Skipped))
        arrays = [item for item in found if not isinstance(item, Skipped)]
        places = [place for place, item in zip(places, found, strict=True) if not isinstance(item, Skipped)]
        names = [self.data.path(place.index) for place in places]
        labels = self.data.labels[[place.index for place in places]]
        if not arrays:
            return Batch(np.empty((0, self.pre.channels, 1, 1), np.float32), labels, names, skipped)
        images, recipe = np.stack(arrays), self.recipe
        at = self.seed, places[0].epoch, np.array([place.place for place in places])
        if recipe.crop == "shift" and recipe.shift:
            images = shift(images, shifts(*at, recipe.shift), recipe.shift)
        if recipe.flip:
            images = flip(images, flips(*at))
        if recipe.policy != "none":
            images = apply_policy(recipe.policy, images, *at)
        if recipe.erase:
            fill = np.round(np.array(self.pre.mean) / self.pre.scale)
            images = erase(images, erase_boxes(*at, *images.shape[1:3], share=recipe.erase), fill)
        return Batch(normalise(images, self.pre), labels, names, skipped)
