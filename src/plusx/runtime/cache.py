"""Compiled networks kept between processes, in PLUSX_CACHE/compiled. Losing one costs a second, nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from plusx.data import cache_dir

MOST = 12
"""Networks kept; a ResNet-50 is 100 MB."""
_DIGEST = 32


def find(key: str) -> bytes | None:
    """The bytes kept under a key, whole as they were kept, or None."""
    path = _path(key)
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(raw[_DIGEST:]).digest() != raw[:_DIGEST]:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # the least recently used goes first
    return raw[_DIGEST:]


def keep(key: str, content: bytes) -> None:
    """Keep bytes under a key; a cache that is full or read-only is no reason to stop."""
    path = _path(key)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(hashlib.sha256(content).digest() + content)
        aside.replace(path)
        _prune(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()


def _path(key: str) -> Path:
    return cache_dir() / "compiled" / f"{key[:32]}.bin"


def _prune(folder: Path) -> None:
    kept = sorted(folder.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in kept[MOST:]:
        path.unlink(missing_ok=True)
