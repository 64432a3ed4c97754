"""The images that a network is most wrong about, kept while an evaluation counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

MOST = 8
"""Mistakes of each kind that are kept and shown: the worst, and the most certain ones."""


class Mistake(NamedTuple):
    """Image number `image` of its data set, its class and the predicted one with their probabilities, and its loss in nats."""

    image: int
    label: int
    predicted: int
    p_label: float
    p_predicted: float
    nll: float


class Mistakes:
    """The worst mistakes (largest loss) and the most certain ones (largest probability) among the logits added so far."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.found: list[Mistake] = []

    def add(self, indices: Sequence[int], logits: ArrayLike, labels: ArrayLike) -> None:
        """Logits (n, classes) and labels (n,) of the images `indices`; ties are predicted as the lower class."""
        scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
        rows = np.arange(len(truth))
        predicted = scores.argmax(axis=1)
        log_p = scores - scores.max(axis=1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        own, best = log_p[rows, truth], log_p[rows, predicted]
        self.merge(
            Mistake(int(indices[int(i)]), int(truth[i]), int(predicted[i]), *(float(v) for v in (np.exp(own[i]), np.exp(best[i]), -own[i])))
            for i in np.flatnonzero(predicted != truth)
        )  # fmt: skip

    def merge(self, others: Iterable[Mistake]) -> None:
        """Those of another process too."""
        found = sorted({*self.found, *others}, key=_worst)
        kept = {*found[: self.most], *sorted(found, key=_surest)[: 2 * self.most]}
        self.found = [each for each in found if each in kept]

    def result(self) -> tuple[Mistake, ...]:
        """At most `most` by loss, then at most `most` others by probability; equal ones in the order of the images."""
        worst = self.found[: self.most]
        return (*worst, *[each for each in sorted(self.found, key=_surest) if each not in worst][: self.most])


def _worst(each: Mistake) -> tuple[float, int]:
    return -each.nll, each.image


def _surest(each: Mistake) -> tuple[float, int]:
    return -each.p_predicted, each.image
