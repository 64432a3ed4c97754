"""One version of a directory's files, held open: it can be read to the end after the directory was replaced."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from plusx.bundles.atomic import check_sizes, path_inside
from plusx.errors import BundleError
from plusx.files import open_regular
from plusx.i18n import _

_CHUNK = 1 << 20


class OpenFiles:
    """The files that a manifest lists (`files`: name → bytes, sha256). Raises BundleError when one is missing or has another size.

    Windows renames no directory that holds an open file, so nothing is held there: each read opens the file anew, and
    tells when it is another.
    """

    def __init__(self, folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder, self.files = folder, files
        check_sizes(folder, files)
        self._held: dict[str, BinaryIO] = {}
        if os.name != "nt":
            self._held = {name: self._open(name) for name in files}

    def __reduce__(self) -> tuple[type[OpenFiles], tuple[Path, Mapping[str, Mapping[str, Any]]]]:
        return OpenFiles, (self.folder, self.files)

    def check(self) -> None:
        """Compares every file with its size and sha256. Raises BundleError that names the first that differs."""
        for name in self.files:
            self._compare(name, self._chunks(name))

    def read(self, name: str, *, checked: bool = False) -> bytes:
        """The bytes of a file; compared with its sha256 unless they were `checked` just now. Raises BundleError."""
        raw = b"".join(self._chunks(name))
        if not checked:
            self._compare(name, [raw])
        return raw

    def _compare(self, name: str, chunks: Iterator[bytes] | list[bytes]) -> None:
        digest, size, entry = hashlib.sha256(), 0, self.files[name]
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        if (size, digest.hexdigest()) != (entry["bytes"], entry["sha256"]):
            raise BundleError(
                _(
                    "{path} is damaged (its sha256 is {digest}…, not the recorded one). Use another copy.",
                    path=path_inside(self.folder, name),
                    digest=digest.hexdigest()[:12],
                )
            )

    def _open(self, name: str) -> BinaryIO:
        path = path_inside(self.folder, name)
        try:
            return open_regular(path)
        except OSError as error:
            raise _unreadable(path, error) from error

    def _chunks(self, name: str) -> Iterator[bytes]:
        """The content, at most one byte more than the manifest says; held files are read at offsets, so threads may share them."""
        most = self.files[name]["bytes"] + 1
        try:
            if name in self._held:
                handle, at = self._held[name].fileno(), 0
                while at < most and (chunk := os.pread(handle, min(_CHUNK, most - at), at)):
                    yield chunk
                    at += len(chunk)
            else:
                with self._open(name) as file:
                    yield file.read(most)
        except OSError as error:
            raise _unreadable(path_inside(self.folder, name), error) from error


def _unreadable(path: Path, error: OSError) -> BundleError:
    return BundleError(_("{path} cannot be read ({reason}). Use another copy.", path=path, reason=error.strerror))
