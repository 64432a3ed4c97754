"""Which images are held out together: stratified folds inside a training part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
ALWAYS_TRAINED = -1
"""The fold of an image that is the only one of its class: held out, it would leave a class without an image."""


def stratified_folds(labels: NDArray[np.int64], seed: int, folds: int = FOLDS) -> NDArray[np.int64]:
    """The fold of each image, int64 (n,): the images of a class, shuffled by `seed`, are dealt to the folds in turn.

    Dealing goes on where the class before ended, so folds differ by at most one image in size. No class loses all of its
    images to one fold. There are fewer folds where there are fewer images.
    """
    counts = np.bincount(labels)
    places = np.full(len(labels), ALWAYS_TRAINED, dtype=np.int64)
    held = int(counts[counts > 1].sum())
    folds = min(folds, held)
    random, dealt = np.random.default_rng([seed & 0xFFFFFFFFFFFFFFFF, 0xF01D]), 0
    for label in np.flatnonzero(counts > 1):
        members = random.permutation(np.flatnonzero(labels == label))
        places[members] = (dealt + np.arange(len(members))) % folds
        dealt += len(members)
    return places
