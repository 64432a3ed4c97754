"""Which mistakes are kept: against a plain computation over all images, in any batches and processes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plusx.metrics import Mistake, Mistakes

RNG = np.random.default_rng(3)
LOGITS = np.round(RNG.normal(size=(200, 5)) * 3, 1)
LABELS = RNG.integers(0, 5, 200)


def by_hand(most: int) -> list[int]:
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    wrong = [i for i in range(200) if LOGITS[i].argmax() != LABELS[i]]
    worst = sorted(wrong, key=lambda i: (p[i, LABELS[i]], i))[:most]
    surest = sorted((i for i in wrong if i not in worst), key=lambda i: (-p[i].max(), i))[:most]
    return [*worst, *surest]


@pytest.mark.parametrize("most", [1, 8, 500])
@pytest.mark.parametrize("batch", [7, 64, 200])
def test_the_worst_and_the_most_certain_are_kept(most, batch):
    parts = [Mistakes(most), Mistakes(most)]  # two processes, in turn
    for number, low in enumerate(range(0, 200, batch)):
        rows = range(low, min(low + batch, 200))
        parts[number % 2].add(rows, LOGITS[rows], LABELS[rows])
    whole = Mistakes(most)
    for part in reversed(parts):
        whole.merge(part.found)
    assert [each.image for each in whole.result()] == by_hand(most)
    assert len(whole.found) <= 3 * most


def test_one_by_hand():
    """Logits 0 and ln 3: probabilities 1/4 and 3/4."""
    seen = Mistakes()
    seen.add([41, 42], [[0.0, math.log(3)], [0.0, math.log(3)]], [0, 1])
    (only,) = seen.result()
    assert only == Mistake(41, 0, 1, pytest.approx(0.25), pytest.approx(0.75), pytest.approx(math.log(4)))
