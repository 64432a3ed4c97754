"""The index of a data set: every image is decoded once, in threads, and the results are stored for the next start."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from plusx import settings
from plusx.locks import replacing

ProgressCallback = Callable[[int, int], None]  # done, total
A = TypeVar("A")
B = TypeVar("B")


def map_threaded(function: Callable[[A], B], items: Sequence[A], progress: ProgressCallback | None = None) -> list[B]:
    """[function(item) …] in the order of items, computed by PLUSX_THREADS threads (else one a core, at most 16)."""
    done = 0
    lock = threading.Lock()

    def one(item: A) -> B:
        nonlocal done
        result = function(item)
        with lock:
            done += 1
            if progress is not None and (done % 64 == 0 or done == len(items)):
                progress(done, len(items))
        return result

    # more threads than cores gain nothing: each decoding thread uses a whole core
    workers = settings.threads() or min(os.cpu_count() or 1, 16)
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, items))


def index_version() -> str:
    """What an index depends on beside the files: another decoder may accept other images."""
    from importlib.metadata import version

    return f"plusx.index/5 pillow {version('pillow')} simplejpeg {version('simplejpeg')}"


def index_path(cache: Path, kind: str, *paths: Path) -> Path:
    """Where the index of a file, a folder or several is stored."""
    key = b"\0".join(os.fsencode(path.absolute()) for path in paths)
    return cache / kind / f"{hashlib.sha256(key).hexdigest()[:24]}.json"


@dataclass(frozen=True)
class ImageIndex:
    """Columns with one value an image, and `about`, which holds for all of them. Plain values."""

    columns: dict[str, list[Any]]
    about: dict[str, Any]


def load_index(at: Path) -> ImageIndex | None:
    """The index stored at `at`, or None: an index that is missing, damaged or of another version costs time, nothing else."""
    try:
        digest, _line, content = at.read_bytes().partition(b"\n")
        if digest.decode("ascii") != hashlib.sha256(content).hexdigest():
            return None
        found = json.loads(content)
        columns, about = found["columns"], found["about"]
        whole = isinstance(about, dict) and len({len(column) for column in columns.values()}) == 1
        return ImageIndex(columns, about) if whole and found["rules"] == index_version() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def save_index(at: Path, seen: ImageIndex) -> None:
    """Stores an index under the hash of its content. A full or read-only cache must not stop a run: only the next start is slower."""
    found = {"rules": index_version(), "columns": seen.columns, "about": seen.about}
    content = json.dumps(found).encode("ascii")  # names that are not UTF-8 are read back unchanged
    with contextlib.suppress(OSError), replacing(at) as file:
        file.write(f"{hashlib.sha256(content).hexdigest()}\n".encode() + content)


def digest_of(raw: bytes) -> str:
    """The hash of an image's encoded bytes; a changed image has another, but for one in 2^64."""
    return hashlib.sha256(raw).hexdigest()[:16]
