"""Damaged weights files given to a reader: it gives tensors of the shapes that it announced, or one WeightsError on one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mutating import mutant
from plusx.errors import PlusxError, WeightsError
from plusx.weights.stored import StoredTensor

MOST_SECONDS = 10


def read_damaged(
    files: Mapping[str, bytes],
    tensors_of: Callable[[Path], Iterable[StoredTensor]],
    count: int,
    seed: int,
    folder: Path,
) -> tuple[int, int]:
    """How many of `count` mutants of `files` were read whole, and how many were refused. `tensors_of` reads a file."""
    whole = refused = 0
    for number in range(count):
        name, raw = mutant(dict(files), number, seed)
        path = folder / name.partition("-")[2]
        path.write_bytes(raw)
        before = time.perf_counter()
        try:
            for tensor in tensors_of(path):
                assert tensor.array().shape == tensor.shape
            whole += 1
        except PlusxError as error:
            assert isinstance(error, WeightsError) and "\n" not in str(error), (number, error)
            refused += 1
        assert time.perf_counter() - before < MOST_SECONDS, number
    return whole, refused
