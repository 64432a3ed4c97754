"""Training batches: batch `step` is always the same, with any number of workers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plusx.data import Data, Skipped, crop_box, crop_draws, erase, erase_boxes, flip, flips, permutation, shift, shifts
from plusx.data.prefetch import prefetch
from plusx.errors import DataError
from plusx.images import Preprocessing, resize_box, resize_crop
from plusx.training.distributed import SINGLE_PROCESS, ProcessGroup
from plusx.training.policies import apply_policy
from plusx.training.recipe import Recipe
from plusx.training.schedule import Schedule, training_size
from plusx.training.timing import Timed, untimed

_ASPECT = 3 / 4
"""Narrowest box of data.crop_box."""
_ANY_SIDE = 224
"""Of a batch without an image where the recipe names no size; any that a network can take does."""


@dataclass(frozen=True)
class Batch:
    """Images, int64 (n,), the images' names, and those that could not be read.

    Images are uint8 (n, h, w, c), or float32 (n, c, h, w) where they are maps of frozen layers.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64]
    names: Sequence[str]
    skipped: tuple[Skipped, ...] = ()


class Batches(Protocol):
    """What a training takes its batches from: `BatchLoader`, or the maps of one behind frozen layers."""

    def batches(self, start: int, stop: int) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class _Position:
    """A sample: the image at one position of an epoch's permutation."""

    epoch: int
    position: int
    index: int
    draws: NDArray[np.float64] | None = None
    """What crop=area draws for it."""


def spread(low: int, high: int, repeats: int) -> list[int]:
    """The positions of a batch, those of one image (`position // repeats`) apart, so that no image is mixed with itself.

    Position p shows image p // repeats of the permutation, as torchvision's RASampler does (references/classification).

    >>> spread(4, 10, 1), spread(4, 10, 3)
    ([4, 5, 6, 7, 8, 9], [6, 9, 4, 7, 5, 8])
    """
    return sorted(range(low, high), key=lambda place: (place % repeats, place))


@dataclass(frozen=True, eq=False)
class BatchLoader:
    """Batches in a permutation of (seed, epoch), each image augmented by a hash of (seed, epoch, position).

    With `views` in the recipe, the hash is of (seed, epoch modulo views, image), so an image has so many augmentations.
    Each rank gets its share of every batch, so together they use the images that one process would.
    """

    data: Data
    schedule: Schedule
    recipe: Recipe
    pre: Preprocessing
    seed: int
    workers: int = 0
    group: ProcessGroup = SINGLE_PROCESS
    timed: Timed = untimed

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches `start` to `stop` - 1, prefetched by the workers if there are any."""
        workers = 0 if self.data.images is not None else self.workers
        yield from prefetch(self._positions(start, stop), self._image, self._finish, workers)

    def _positions(self, start: int, stop: int) -> Iterator[list[_Position]]:
        known, chosen = -1, np.empty(0, np.int64)
        for step in range(start, stop):
            epoch, low, high = self.schedule.span(step)
            if epoch != known:
                known, chosen = epoch, permutation(self.schedule.n, self.seed, epoch)
            places = spread(low, high, self.recipe.repeats)[slice(*self.group.share(0, high - low))]
            indices = [int(chosen[place // self.recipe.repeats]) for place in places]
            if self.recipe.views:
                yield self._drawn(epoch % self.recipe.views, indices, indices)
            else:
                yield self._drawn(epoch, places, indices)

    def _drawn(self, epoch: int, positions: Sequence[int], indices: Sequence[int]) -> list[_Position]:
        """Samples with what is drawn for them, which numpy does for a whole batch in the time of one."""
        if self.recipe.crop != "area" or not indices:
            return [_Position(epoch, position, index) for position, index in zip(positions, indices, strict=True)]
        draws = crop_draws(self.seed, epoch, positions)
        return [_Position(epoch, *at) for at in zip(positions, indices, draws, strict=True)]

    def view(self, view: int, start: int, batch: int) -> Iterator[tuple[range, Batch]]:
        """The augmentation `view` of every image from `start` on, in the order of the data, `batch` at a time."""
        spans = [range(low, min(low + batch, len(self.data))) for low in range(start, len(self.data), batch)]
        workers = 0 if self.data.images is not None else self.workers
        groups = (self._drawn(view, span, span) for span in spans)
        yield from zip(spans, prefetch(groups, self._image, self._finish, workers), strict=True)

    def _image(self, at: _Position) -> NDArray[np.uint8] | Skipped:
        """uint8 (size, size, c). What can be done to a whole batch at once is left to `_finish`."""
        pre = self._pre(at.epoch)
        size = pre.crop_px
        try:
            if at.draws is None or size is None:
                with self.timed("decode"):
                    image = self.data.read(at.index, pre.mode, pre.decode_px)
                with self.timed("resize"):
                    return resize_crop(image, pre)
            # decoded so large that even the smallest box has `size` pixels a side and is not enlarged
            at_least = math.ceil(size / math.sqrt(self.recipe.area * _ASPECT))
            with self.timed("decode"):
                image = self.data.read(at.index, pre.mode, at_least)
            h, w = image.shape[:2]
            with self.timed("resize"):
                box = crop_box(at.draws, h, w, scale=(self.recipe.area, 1.0))
                return resize_box(image, box, (size, size), pre.interpolation)
        except DataError as error:
            return Skipped(self.data.path(at.index), str(error))

    def _pre(self, epoch: int) -> Preprocessing:
        """The preprocessing of this epoch: the evaluation's, at the epoch's size."""
        pre, full = self.pre, self.pre.crop_px
        if full is None or (self.recipe.size_from is None and self.recipe.eval_size is None):
            return pre
        size = training_size(self.recipe, epoch)
        return replace(
            pre, crop_px=size, resize_px=None if pre.resize_px is None else round(pre.resize_px * size / full)
        )

    def _finish(self, positions: Sequence[_Position], found: Sequence[NDArray[np.uint8] | Skipped]) -> Batch:
        with self.timed("augment"):
            return self._augmented(positions, found)

    def _augmented(self, positions: Sequence[_Position], found: Sequence[NDArray[np.uint8] | Skipped]) -> Batch:
        """The batch of the images that could be read: shifted, flipped and erased."""
        skipped = tuple(item for item in found if isinstance(item, Skipped))
        arrays = [item for item in found if not isinstance(item, Skipped)]
        positions = [position for position, item in zip(positions, found, strict=True) if not isinstance(item, Skipped)]
        names = [self.data.path(position.index) for position in positions]
        labels = self.data.labels[[position.index for position in positions]]
        if not arrays:
            side = self.pre.crop_px or _ANY_SIDE
            return Batch(np.empty((0, side, side, self.pre.channels), np.uint8), labels, names, skipped)
        images, recipe = np.stack(arrays), self.recipe
        at = self.seed, positions[0].epoch, np.array([position.position for position in positions])
        if recipe.crop == "shift" and recipe.shift:
            images = shift(images, shifts(*at, recipe.shift), recipe.shift)
        if recipe.flip:
            images = flip(images, flips(*at))
        if recipe.policy != "none":
            images = apply_policy(recipe.policy, images, *at, recipe.magnitude)
        if recipe.erase:
            fill = np.round(np.array(self.pre.mean) / self.pre.scale)
            images = erase(images, erase_boxes(*at, *images.shape[1:3], share=recipe.erase), fill)
        return Batch(images, labels, names, skipped)
