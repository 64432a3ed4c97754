"""Feature vectors kept between processes, in PLUSX_CACHE/vectors. A lost or damaged file only costs computing again.

A folder for each network, engine and view; in it files that are written once: a sha256 over the rest, then the hashes of
the images and their vectors. Files are never changed, so processes may share them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.bundles.serialisation import bytes_to_tensors, tensors_to_bytes
from plusx.errors import BundleError

MOST_BYTES = 4 << 30
"""Of all files together: half a million images of a ResNet-50. The least recently used are removed first."""
MOST_FILES = 8
"""Files of one folder; with more, they are written again as one."""
KEY_BYTES = 16
_DIGEST = 32
_ABANDONED_S = 86_400

KnownVectors = dict[bytes, NDArray[np.float32]]
"""Content hash of an image → float32 (d,)."""


def content_key(content: bytes | NDArray[np.uint8]) -> bytes:
    """The hash of an image: of the bytes of its file, or of the shape and pixels of an array."""
    found = hashlib.blake2b(digest_size=KEY_BYTES)
    if isinstance(content, bytes):
        found.update(content)
    else:
        found.update(f"pixels {content.shape} ".encode() + np.ascontiguousarray(content).tobytes())
    return found.digest()


class VectorCache:
    """The vectors of one network, engine and view, `width` numbers each."""

    def __init__(self, root: Path, name: str, width: int) -> None:
        self.root, self.folder, self.width = root, root / name, width

    def load(self) -> KnownVectors:
        """Every vector whose file is undamaged; damaged files are removed."""
        known: KnownVectors = {}
        for path in self._files():
            found = self._read(path)
            if found is None:
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            known.update(found)
            with contextlib.suppress(OSError):
                os.utime(path)
        return known

    def store(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Adds vectors. Raises OSError when the disk is full or refuses; what was stored before is unchanged."""
        if not vectors:
            return
        old = self._files()
        if len(old) >= MOST_FILES:
            vectors = {**self.load(), **vectors}
        self._write(vectors)
        if len(old) >= MOST_FILES:
            for path in old:
                path.unlink(missing_ok=True)
        self._sweep()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.vectors"))

    def _read(self, path: Path) -> KnownVectors | None:
        """The vectors of a file; None where it is damaged or gone."""
        try:
            raw = path.read_bytes()
            if hashlib.sha256(raw[_DIGEST:]).digest() != raw[:_DIGEST]:
                return None
            found = bytes_to_tensors(raw[_DIGEST:], str(path))
            keys, values = found["keys"], found["vectors"]
        except (OSError, BundleError, KeyError):
            return None
        if keys.shape != (len(values), KEY_BYTES) or values.shape[1:] != (self.width,) or values.dtype != np.float32:
            return None
        return {key.tobytes(): vector for key, vector in zip(keys, values, strict=True)}

    def _write(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        keys = np.frombuffer(b"".join(vectors), dtype=np.uint8).reshape(-1, KEY_BYTES)
        content = tensors_to_bytes({"keys": keys, "vectors": np.stack([*vectors.values()])})
        digest = hashlib.sha256(content).digest()
        path = self.folder / f"{digest.hex()[:24]}.vectors"
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                file.write(digest)
                file.write(content)
            aside.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise

    def _sweep(self) -> None:
        """Removes the least recently used files of all networks until the rest fits MOST_BYTES, and what killed writers left."""
        found: list[tuple[int, int, Path]] = []
        for path in self.root.glob("*/*.vectors"):
            with contextlib.suppress(OSError):
                about = path.stat()
                found.append((about.st_mtime_ns, about.st_size, path))
        left = sum(size for _time, size, _path in found) - MOST_BYTES
        for _time, size, path in sorted(found):
            if left <= 0:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            left -= size
        for path in self.root.glob("*/.*.vectors.*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink()
