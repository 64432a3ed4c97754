"""Accuracy, NLL and calibration of a network. Integers only: no sum depends on batches, order or processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plusx.errors import DataError, RunError
from plusx.i18n import _
from plusx.metrics.mistakes import Mistake

BINS = 15  # Guo et al. 2017 (arXiv 1706.04599), section 5
_UNIT = 1 << 24  # losses and confidences are summed in units of 2^-24
_MAX_NLL = 1e6  # of one image; keeps sums below 2^63 for 5 · 10^5 images
_Z95 = 1.959963984540054


def wilson(hits: int, n: int, z: float = _Z95) -> tuple[float, float] | None:
    """The Wilson score interval (default 95 %) of a share of `hits` in `n`; None when n is 0.

    Wilson 1927; Brown, Cai, DasGupta 2001.

    >>> [round(edge, 4) for edge in wilson(81, 263)]
    [0.2553, 0.3662]
    """
    if n == 0:
        return None
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class ClassScore:
    """How many images of a class there were, and how many were predicted correctly."""

    name: str
    n: int
    correct: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % Wilson interval of the accuracy; None without images."""
        return wilson(self.correct, self.n)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The result of an evaluation, shares of 1; None where a number is undefined (no images, top-5 of ≤ 5 classes).

    `nll` is the mean negative log-likelihood in nats, `ece` the expected calibration error over 15 bins, `confusion`
    int64 (classes, classes): row = true class, column = predicted class. `interval` is top-1's 95 % Wilson interval.
    """

    n: int
    correct: int
    correct5: int | None
    top1: float | None
    top5: float | None
    interval: tuple[float, float] | None
    nll: float | None
    ece: float | None
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    mistakes: tuple[Mistake, ...] = ()
    """The worst of them, where whoever evaluated kept them (`Mistakes.result`); never in `to_dict`."""

    def __repr__(self) -> str:
        def percent(share: float | None) -> str:
            return "-" if share is None else f"{share:.2%}"

        low, high = self.interval or (None, None)
        nll, ece = ("-" if value is None else f"{value:.4f}" for value in (self.nll, self.ece))
        return (
            f"Evaluation({self.n:,} images, {len(self.per_class):,} classes)\n"
            f"  top-1 {percent(self.top1)} (95 %: {percent(low)} to {percent(high)}), top-5 {percent(self.top5)}\n"
            f"  NLL {nll}, ECE {ece}"
        )

    def to_dict(self, confusion: bool = True) -> dict[str, Any]:
        """Plain JSON values; `confusion` False omits the matrix."""
        out: dict[str, Any] = {
            "n": self.n,
            "correct": self.correct,
            "correct5": self.correct5,
            "top1": self.top1,
            "top5": self.top5,
            "interval95": None if self.interval is None else list(self.interval),
            "nll": self.nll,
            "ece": self.ece,
            "per_class": [
                {"class": c.name, "n": c.n, "correct": c.correct, "interval95": c.interval and list(c.interval)}
                for c in self.per_class
            ],
        }
        if confusion:
            out["confusion"] = self.confusion.tolist()
        return out


class Counters:
    """Adds up predictions batch by batch. `vector` is the whole state: int64, summed over processes it is the state of all."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        k = len(self.classes)
        if k < 1:
            raise DataError(_("There are no classes to evaluate. Give at least 1."))
        # confusion k·k | top-5 hits, NLL | per bin: images, hits, confidence
        self.vector = np.zeros(k * k + 2 + 3 * BINS, dtype=np.int64)
        self._confusion = self.vector[: k * k].reshape(k, k)
        self._sums = self.vector[k * k : k * k + 2]
        self._bins = self.vector[k * k + 2 :].reshape(3, BINS)

    def add(self, logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> None:
        """Count a batch: logits (n, classes), labels (n,), weights (n,) of 0 (ignored) and 1.

        Ties go to the lower class, so equal logits for all classes are not a hit every time.
        Raises RunError when logits of a counted row are not finite, DataError for invalid labels or shapes.
        """
        k = len(self.classes)
        scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
        if scores.ndim != 2 or scores.shape[1] != k or truth.shape != scores.shape[:1]:
            raise DataError(
                _(
                    "The logits have shape {logits} and the labels {labels}. Give (n, {k}) and (n,).",
                    logits=scores.shape,
                    labels=truth.shape,
                    k=k,
                )
            )
        if weights is not None:
            kept = self._kept(np.asarray(weights), truth)
            scores, truth = scores[kept], truth[kept]
        if not len(truth):
            return
        if truth.min() < 0 or truth.max() >= k:
            raise DataError(
                _(
                    "Label {label} is not one of the {k} classes. Give labels from 0 to {last}.",
                    label=int(truth.max() if truth.max() >= k else truth.min()),
                    k=k,
                    last=k - 1,
                )
            )
        bad = int((~np.isfinite(scores)).any(axis=1).sum())
        if bad:
            raise RunError(
                _("The logits of {bad} of {n} images are not finite. Use an earlier checkpoint.", bad=bad, n=len(truth))
            )
        predicted = scores.argmax(axis=1)
        np.add.at(self._confusion, (truth, predicted), 1)
        self._add_sums(scores, truth, predicted == truth)

    def result(self) -> Evaluation:
        """The Evaluation of everything added so far."""
        confusion = self._confusion.copy()
        n, correct = int(confusion.sum()), int(np.trace(confusion))
        correct5 = int(self._sums[0]) if len(self.classes) > 5 else None
        _, hits, confidence = self._bins
        ece = float(np.abs(hits - confidence / _UNIT).sum() / n) if n else None
        rows = zip(self.classes, confusion.sum(axis=1), np.diag(confusion), strict=True)
        return Evaluation(
            n=n,
            correct=correct,
            correct5=correct5,
            top1=correct / n if n else None,
            top5=correct5 / n if n and correct5 is not None else None,
            interval=wilson(correct, n),
            nll=float(self._sums[1] / _UNIT / n) if n else None,
            ece=ece,
            per_class=tuple(ClassScore(name, int(all_), int(right)) for name, all_, right in rows),
            confusion=confusion,
        )

    def _kept(self, weights: NDArray[np.generic], truth: NDArray[np.int64]) -> NDArray[np.bool_]:
        if weights.shape != truth.shape or not np.isin(weights, (0, 1)).all():
            raise DataError(
                _(
                    "The weights have shape {shape}. Give a 0 or 1 for each of the {n} labels.",
                    shape=weights.shape,
                    n=len(truth),
                )
            )
        return weights.astype(bool)

    def _add_sums(self, scores: NDArray[np.float64], truth: NDArray[np.int64], hit: NDArray[np.bool_]) -> None:
        rows = np.arange(len(truth))
        own = scores[rows, truth][:, None]
        before = np.arange(scores.shape[1]) < truth[:, None]
        rank = (scores > own).sum(axis=1) + ((scores == own) & before).sum(axis=1)
        self._sums[0] += int((rank < 5).sum())
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1))
        nll = np.minimum(log_sum - shifted[rows, truth], _MAX_NLL)
        self._sums[1] += int(np.rint(nll * _UNIT).astype(np.int64).sum())
        confidence = np.exp(-log_sum)  # of the predicted class: its shifted score is 0
        # bins are (0, 1/15], …, (14/15, 1], as in the paper
        bin_of = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        for row, amount in enumerate((np.ones_like(bin_of), hit, np.rint(confidence * _UNIT))):
            np.add.at(self._bins[row], bin_of, amount.astype(np.int64))
