"""Counted randomness: it looks random, and it is a function of its four counters and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from plusx.data import permutation, uniform
from plusx.data.permutation import hashed

N = 200_000


def mix(z: int) -> int:
    """splitmix64's finaliser in Python's own integers: another implementation to hold numpy's to."""
    mask = (1 << 64) - 1
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_the_mixer_is_splitmix64():
    # first outputs of splitmix64 seeded with 1234567, as Vigna's C program prints them
    gamma, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    state, out = 1234567, []
    for _ in range(3):
        state = (state + gamma) & mask
        out.append(mix(state))
    assert out == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    for seed, epoch, position, k in [(0, 0, 0, 0), (7, 3, 12345, 9), (2**63, 99, 2**40, 1), (-1, 0, 5, 64)]:
        bits = 0
        for counter in (seed, epoch, position, k):
            bits = mix(((bits + gamma) & mask) ^ mix(((counter & mask) + gamma) & mask))
        assert int(hashed(seed, epoch, [position], k)[0]) == bits


def test_the_numbers_never_change():
    """A resumed run of an older plusx must draw the same numbers."""
    assert uniform(0, 0, [0, 1, 2]).tolist() == [0.1826605802663317, 0.3095154427036765, 0.9374888055294589]
    assert permutation(10, 0, 0).tolist() == [1, 2, 0, 9, 7, 8, 4, 5, 6, 3]


def streams() -> dict[str, np.ndarray]:
    at = np.arange(N)
    return {
        "positions": uniform(0, 0, at),
        "another seed": uniform(1, 0, at),
        "another epoch": uniform(0, 1, at),
        "another k": uniform(0, 0, at, 1),
        "k of one sample": uniform(0, 0, 5, np.arange(N)),
        "seeds": np.concatenate([uniform(seed, 0, np.arange(100)) for seed in range(N // 100)]),
    }


def test_uniform_is_uniform():
    for name, u in streams().items():
        assert 0 <= u.min() and u.max() < 1
        assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / N), name
        assert abs(u.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / N), name
        counts = np.bincount((u * 256).astype(int), minlength=256)
        chi2 = ((counts - N / 256) ** 2 / (N / 256)).sum()
        assert 150 < chi2 < 380, (name, chi2)  # 255 degrees of freedom: 5 sigma


def test_streams_are_not_correlated():
    limit = 5 / np.sqrt(N)
    all_of_them = streams()
    names = list(all_of_them)
    table = np.corrcoef(np.stack(list(all_of_them.values())))
    for i, a in enumerate(names):
        for j in range(i):
            assert abs(table[i, j]) < limit, (a, names[j])
        u = all_of_them[a]
        for lag in (1, 2, 3, 64):
            assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < limit, (a, lag)


def test_each_counter_bit_turns_half_the_bits():
    at = np.arange(4096)
    base = hashed(11, 22, at, 33)
    for bit in range(24):
        flip = 1 << bit
        for other in (hashed(11 ^ flip, 22, at, 33), hashed(11, 22 ^ flip, at, 33), hashed(11, 22, at ^ flip, 33),
                      hashed(11, 22, at, 33 ^ flip)):  # fmt: skip
            turned = np.unpackbits((base ^ other).view(np.uint8)).mean()
            assert abs(turned - 0.5) < 0.005


def test_a_batch_is_its_samples():
    at = np.array([5, 0, 99, 5])
    whole = uniform(3, 4, at[:, None], np.arange(6))
    one_by_one = [[uniform(3, 4, int(p), k)[0] for k in range(6)] for p in at]
    assert whole.tolist() == one_by_one
    assert (whole[0] == whole[3]).all()


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000])
def test_order_is_a_permutation(n):
    p = permutation(n, 5, 6)
    assert p.dtype == np.int64 and sorted(p.tolist()) == list(range(n))


def test_orders_differ_and_are_fair():
    assert not np.array_equal(permutation(100, 0, 0), permutation(100, 0, 1))
    assert not np.array_equal(permutation(100, 0, 0), permutation(100, 1, 0))
    first = np.bincount([permutation(8, 0, epoch)[0] for epoch in range(8000)], minlength=8)
    assert ((first - 1000) ** 2 / 1000).sum() < 27  # chi-square, 7 degrees of freedom, p < 0.0003
