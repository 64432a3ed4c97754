"""Images of the validation part that are nearly the same as one of the training part, by the angle between their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 0.9
"""Cosine of centred vectors. With the thin ResNet-50 of open_nsfw 94 % of 300 copies of photographs reach it, which were
compressed again (quality 40), made smaller, brighter, mirrored, or cropped to 90 %; images of other classes reach 0.66."""
NEAR = 1 / 6
"""A pair is nearer than this share of the distance at which different classes meet, whatever the network."""
_USUAL = 0.75
"""Quantile of the similarity to the nearest image of another class: the rest may be leaks and wrong labels."""
_BLOCK = 1024


@dataclass(frozen=True)
class NearDuplicate:
    """Row `val` of the validation vectors and the most similar row `train` of the training vectors."""

    val: int
    train: int
    similarity: float


def near_duplicates(
    train: NDArray[np.float32], val: NDArray[np.float32], train_labels: NDArray[np.int64], val_labels: NDArray[np.int64]
) -> list[NearDuplicate]:
    """For each validation image its nearest training image, where it is near enough; the most similar first.

    Near enough is LEAST, and more where images of different classes are alike too, as small images or those of a weak
    network are: what leaves NEAR of the distance at which classes meet. Give labels without the errors that are known.
    """
    mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
    a, b = _directions(train, mean), _directions(val, mean)
    best = np.zeros(len(b), dtype=np.int64)
    similarity, foreign = np.full(len(b), -1.0), np.full(len(b), -1.0)
    for low in range(0, len(b), _BLOCK):
        part = slice(low, low + _BLOCK)
        angles = b[part] @ a.T
        best[part] = angles.argmax(axis=1)
        similarity[part] = angles.max(axis=1)
        foreign[part] = np.where(val_labels[part, None] == train_labels, -1.0, angles).max(axis=1)
    bar = max(LEAST, 1 - NEAR * (1 - float(np.quantile(foreign, _USUAL))))
    rows = np.flatnonzero(similarity >= bar)
    found = [NearDuplicate(int(row), int(best[row]), min(1.0, float(similarity[row]))) for row in rows]
    return sorted(found, key=lambda pair: (-pair.similarity, pair.val))


def _directions(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1 from the mean; one at the mean itself has no direction and stays 0."""
    centred = vectors - mean
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.maximum(length, 1e-12)
