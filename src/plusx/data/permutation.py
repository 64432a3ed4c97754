"""Stateless random numbers: a hash of (seed, epoch, position, k), like a counter-based generator.

Nothing here holds a state, so the augmentation of a sample cannot depend on workers, prefetch, batch size or where a
run was resumed. The mixer is splitmix64's finaliser (Steele, Lea, Flood 2014; Stafford's variant 13), applied once for
each of the four counters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GAMMA = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: keeps small counters apart
_MASK = (1 << 64) - 1
_PERMUTATION_K = _MASK  # the k of permutations; samples count their k from 0


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _counters(values: ArrayLike) -> NDArray[np.uint64]:
    if isinstance(values, int):
        return np.array([values & _MASK], dtype=np.uint64)
    return np.atleast_1d(np.asarray(values)).astype(np.uint64)


def hashed(seed: int, epoch: int, positions: ArrayLike, k: ArrayLike) -> NDArray[np.uint64]:
    """64 random bits for each of `positions` broadcast with `k`; the shape is theirs, at least 1-d."""
    bits = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for counter in (seed, epoch, positions, k):
            bits = _mix((bits + np.uint64(_GAMMA)) ^ _mix(_counters(counter) + np.uint64(_GAMMA)))
    return bits


def uniform(seed: int, epoch: int, positions: ArrayLike, k: ArrayLike = 0) -> NDArray[np.float64]:
    """Numbers in [0, 1), one for each of `positions` broadcast with `k` (which number of that sample it is).

    >>> uniform(0, 0, [0, 1, 2], 0).round(3).tolist() == uniform(0, 0, [0, 1, 2], 0).round(3).tolist()
    True
    >>> uniform(7, 3, np.arange(4)[:, None], np.arange(2)).shape
    (4, 2)
    """
    return (hashed(seed, epoch, positions, k) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of 0 … n-1 that belongs to (seed, epoch): int64 (n,).

    >>> sorted(permutation(5, seed=1, epoch=2).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.argsort(hashed(seed, epoch, np.arange(n), _PERMUTATION_K), kind="stable").astype(np.int64)
