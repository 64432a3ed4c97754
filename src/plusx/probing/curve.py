"""Would more images help? Accuracy on held-out images against the share of the others that is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from plusx.i18n import Message, _
from plusx.metrics import wilson
from plusx.probing.logistic import Classifier, Span, Standardisation, computing_threads
from plusx.probing.probe import FOLD_FIT, CrossValidation, never

SHARES = (0.25, 0.5, 0.75, 1.0)
_Z95 = 1.959963984540054
_NOTHING = 0.01
"""An accuracy that changes by less is said not to change."""


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy on `n` held-out images after training on `images`, a `share` of those that are not held out."""

    share: float
    images: int
    n: int
    correct: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval."""
        return wilson(self.correct, self.n) or (0.0, 1.0)


@dataclass(frozen=True)
class AccuracyCurve:
    """The points, and by how much the last doubling of images changed accuracy: mean and 95 % interval of the change."""

    points: tuple[CurvePoint, ...]
    gain: float
    low: float
    high: float

    def verdict(self) -> Message:
        """What the curve says, in a sentence."""
        half, whole = (next(p.images for p in self.points if p.share == share) for share in (0.5, 1.0))
        values = {"half": half, "whole": whole, "gain": 100 * self.gain, "low": 100 * self.low, "high": 100 * self.high}
        if self.low > 0:
            return _(
                "From {half:,} to {whole:,} training images accuracy rose by {gain:.1f} points (95 %: {low:+.1f} to {high:+.1f}), so more images are likely to help.",
                **values,
            )
        if self.high < _NOTHING:
            return _(
                "From {half:,} to {whole:,} training images accuracy changed by {gain:+.1f} points (95 %: {low:+.1f} to {high:+.1f}), so more images of the same kind will hardly help.",
                **values,
            )
        return _(
            "From {half:,} to {whole:,} training images accuracy changed by {gain:+.1f} points (95 %: {low:+.1f} to {high:+.1f}), which is too uncertain to tell whether more images help.",
            **values,
        )


def accuracy_curve(
    found: CrossValidation,
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    *,
    seed: int = 0,
    threads: int | None = None,
    stopped: Callable[[], bool] = never,
) -> AccuracyCurve | None:
    """The curve on the folds of a cross-validation, with its C; None if `stopped` returned true.

    Each share of a class is contained in the next larger one, and has at least one image.
    """
    random = np.random.default_rng([seed & 0xFFFFFFFFFFFFFFFF, 0xC0])
    rank = random.permutation(len(labels))
    points: list[CurvePoint] = []
    right: dict[float, NDArray[np.bool_]] = {}
    with computing_threads(vectors.size, threads):
        x = Span.of(Standardisation.of(vectors).apply(vectors)).inner
        for share in SHARES:
            hits, used = np.zeros(len(labels), dtype=bool), []
            for fold in range(found.n_folds):
                if stopped():
                    return None
                chosen = _share(labels, rank, found.folds != fold, share)
                used.append(len(chosen))
                held = np.flatnonzero(found.folds == fold)
                if share == 1:
                    predicted = found.logits[held].argmax(axis=1)
                else:
                    model = Classifier(classes, **FOLD_FIT)
                    model.fit(x[chosen], labels[chosen], found.c)
                    predicted = model.logits(x[held]).argmax(axis=1)
                hits[held] = predicted == labels[held]
            right[share] = hits[found.tested]
            points.append(
                CurvePoint(share, round(float(np.mean(used))), int(found.tested.sum()), int(right[share].sum()))
            )
    change = right[1.0].astype(float) - right[0.5]
    gain, error = float(change.mean()), float(change.std()) / sqrt(len(change))
    return AccuracyCurve(tuple(points), gain, gain - _Z95 * error, gain + _Z95 * error)


def _share(
    labels: NDArray[np.int64], rank: NDArray[np.int64], trained: NDArray[np.bool_], share: float
) -> NDArray[np.int64]:
    """Indices of a share of each class among the images that are `trained` on, those of lowest rank."""
    chosen: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        members = np.flatnonzero(trained & (labels == label))
        count = max(1, round(share * len(members)))
        chosen.append(members[np.argsort(rank[members])[:count]])
    return np.sort(np.concatenate(chosen))
