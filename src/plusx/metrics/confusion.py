"""Which classes are confused with each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class ConfusedPair(NamedTuple):
    """`n` images of class `true` were predicted as `predicted`; `share` is their share of the class."""

    true: str
    predicted: str
    n: int
    share: float


def confused_pairs(confusion: ArrayLike, classes: Sequence[str], most: int | None = None) -> list[ConfusedPair]:
    """The pairs of classes that are confused with each other, the most frequent first; at most `most`.

    >>> confused_pairs([[8, 2], [1, 3]], ["cat", "dog"])[0]
    ConfusedPair(true='cat', predicted='dog', n=2, share=0.2)
    """
    matrix = np.array(confusion, dtype=np.int64)
    totals = matrix.sum(axis=1)
    np.fill_diagonal(matrix, 0)
    rows, columns = np.nonzero(matrix)
    order = np.lexsort((columns, rows, -matrix[rows, columns]))[:most]
    return [
        ConfusedPair(classes[i], classes[j], int(matrix[i, j]), float(matrix[i, j] / totals[i]))
        for i, j in zip(map(int, rows[order]), map(int, columns[order]), strict=True)
    ]


def most_confused(confusion: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Indices of the at most `most` classes with the most errors (missed, or predicted wrongly), in ascending order.

    >>> most_confused(np.array([[5, 0, 0], [0, 3, 2], [0, 0, 4]]), 2)
    array([1, 2])
    """
    wrong = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * np.diag(confusion)
    worst = np.argsort(-wrong, kind="stable")[:most]
    return np.sort(worst[wrong[worst] > 0])
