"""torch's global generator, seeded by (seed, step) and restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_MASK = (1 << 64) - 1
INITIALISATION = -1
"""The counter of the weights' first values; steps count from 0."""


def fold(seed: int, counter: int) -> int:
    """32 bits that depend on every bit of both numbers: torch's CPU generator ignores the upper half of a seed.

    The mixer is splitmix64's (Steele, Lea and Flood, OOPSLA 2014).

    >>> fold(0, 1) != fold(1 << 32, 1)
    True
    """
    x = (seed & _MASK) ^ _mix((counter * 0x9E3779B97F4A7C15) & _MASK)
    x = _mix((x + 0x9E3779B97F4A7C15) & _MASK)
    return (x ^ (x >> 32)) & 0xFFFFFFFF


@contextmanager
def seeded(seed: int, counter: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside, what torch draws (initial values, dropout, drop path) depends on (seed, counter) alone; the caller's
    generator state is restored."""
    if device is not None and device.type != "cpu":
        with torch.random.fork_rng(devices=[device], device_type=device.type):
            torch.manual_seed(fold(seed, counter))
            yield
        return
    # not torch.manual_seed: where a CUDA build finds no GPU it keeps a stack trace of every call, 0.5 ms each
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(fold(seed, counter))
    try:
        yield
    finally:
        generator.set_state(before)


def _mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
