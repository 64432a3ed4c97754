"""The cache of feature vectors: files merge, the least recently used go first, processes do not disturb each other."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from plusx.probing import vector_cache
from plusx.probing.vector_cache import MOST_FILES, VectorCache, content_key


def some(first: int, n: int = 3, d: int = 4) -> dict[bytes, np.ndarray]:
    return {content_key(b"%d" % i): np.full(d, i, np.float32) for i in range(first, first + n)}


def same(one: dict[bytes, np.ndarray], two: dict[bytes, np.ndarray]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one)


def test_keys_tell_files_pixels_and_shapes_apart():
    pixels = np.arange(12, dtype=np.uint8)
    keys = [
        content_key(pixels.tobytes()),
        *(content_key(pixels.reshape(shape)) for shape in ((2, 6, 1), (6, 2, 1), (2, 2, 3))),
    ]
    assert len(set(keys)) == 4 and content_key(pixels.reshape(2, 6, 1)) == keys[1]


def test_what_is_stored_is_loaded_and_many_files_become_one(tmp_path: Path):
    cache = VectorCache(tmp_path, "net", 4)
    assert cache.load() == {}
    cache.store({})
    assert not (tmp_path / "net").exists()
    stored: dict[bytes, np.ndarray] = {}
    for i in range(MOST_FILES + 1):
        cache.store(some(10 * i))
        stored |= some(10 * i)
        assert len(list((tmp_path / "net").iterdir())) <= MOST_FILES
    assert same(cache.load(), stored) and len(list((tmp_path / "net").iterdir())) == 1
    assert VectorCache(tmp_path, "net", 5).load() == {}, "vectors of another length are not taken"


def test_the_least_recently_used_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    caches = [VectorCache(tmp_path, name, 4) for name in ("a", "b", "c")]
    for age, cache in zip((300, 200, 100), caches, strict=True):
        cache.store(some(0))
        (file,) = cache.folder.iterdir()
        os.utime(file, (1_000_000 - age, 1_000_000 - age))
    size = file.stat().st_size
    caches[0].load()  # used last
    monkeypatch.setattr(vector_cache, "MOST_BYTES", 3 * size)
    VectorCache(tmp_path, "d", 4).store(some(0))
    assert [bool(cache.load()) for cache in caches] == [True, False, True]


def test_what_a_killed_writer_left_is_swept_after_a_day(tmp_path: Path):
    cache = VectorCache(tmp_path, "net", 4)
    cache.store(some(0))
    old, young = (tmp_path / "net" / f".{name}.vectors.1" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1_000_000, 1_000_000))
    cache.store(some(5))
    assert not old.exists() and young.exists() and len(cache.load()) == 6


def test_writers_at_the_same_time_lose_nothing_that_the_last_merge_saw(tmp_path: Path):
    def write(first: int) -> None:
        for i in range(4):
            VectorCache(tmp_path, "net", 4).store(some(first + 10 * i))

    threads = [threading.Thread(target=write, args=(100 * k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(VectorCache(tmp_path, "net", 4).load()) == 24
