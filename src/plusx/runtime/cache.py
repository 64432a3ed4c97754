"""Compiled networks kept between processes, in PLUSX_CACHE/compiled. A lost file only costs compiling again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.locks import replacing
from plusx.settings import cache_dir

MOST_NETWORKS = 12
"""A compiled ResNet-50 is 100 MB."""
_DIGEST, _HEAD = 32, 4096
"""The digest is padded to a page, so that the network behind it is aligned in memory as the engine needs it."""


def load(key: str) -> NDArray[np.uint8] | None:
    """The bytes stored under a key, mapped into memory; None if there are none, or if their digest differs."""
    path = _path(key)
    try:
        whole = np.memmap(path, dtype=np.uint8, mode="c")  # the engine requires writable memory
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return None
    content = whole[_HEAD:]
    if len(whole) <= _HEAD or hashlib.sha256(content.data).digest() != whole[:_DIGEST].tobytes():
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # the least recently used is removed first
    return content


def store(key: str, content: bytes | memoryview) -> None:
    """Store bytes under a key. A full or read-only cache is ignored."""
    path = _path(key)
    with contextlib.suppress(OSError):
        with replacing(path) as file:
            file.write(hashlib.sha256(content).digest().ljust(_HEAD, b"\0"))
            file.write(content)
        _prune(path.parent)


def _path(key: str) -> Path:
    return cache_dir() / "compiled" / f"{key[:32]}.bin"


def _prune(folder: Path) -> None:
    kept = sorted(folder.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in kept[MOST_NETWORKS:]:
        path.unlink(missing_ok=True)
