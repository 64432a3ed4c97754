"""What PATH means to predict and embed: files, folders, patterns, a list on stdin, tar shards, Parquet. Lazily, in order."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.data.archive import members, open_stream
from plusx.data.parquet import encoded_images
from plusx.errors import DataError
from plusx.images import MAX_FILE_BYTES, OTHER_SUFFIXES, SUFFIXES

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MAX_DEPTH = 64
Source = Path | bytes | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Item:
    """One image to look at: its name in the rows, and what to decode; `source` None where `error` says why not."""

    name: str
    source: Source | None
    error: str | None = None


def find(paths: Iterable[str]) -> Iterator[Item]:
    """The images of every path, as they are found. A name that is nothing becomes an item, and so a row, of its own.

    Raises DataError, when it comes to it, for a folder without images, a pattern without match, a PATH that is empty.
    """
    for text in paths:
        if text == "-":
            yield from (Item(line, Path(line)) for line in _lines())
        elif not text:
            raise DataError("PATH is empty (''); name an image, a folder or a pattern")
        else:
            yield from _one(text)


def is_countable(paths: Iterable[str]) -> bool:
    """Whether the images can be counted beforehand at no cost: no stdin, no archive to unpack."""
    return not any(text == "-" or text.lower().endswith((*TARS, ".parquet")) for text in paths)


def _one(text: str) -> Iterator[Item]:
    path = Path(text)
    if path.is_dir():
        yield from _nonempty(_folder(path), f"no images in {text}; formats by suffix: {', '.join(sorted(SUFFIXES))}")
    elif not os.path.lexists(path) and glob.has_magic(text):
        matches = sorted(glob.iglob(text, recursive=True))
        yield from _nonempty(
            (_file(Path(m)) for m in matches if not Path(m).is_dir()),
            f"nothing matches {text}; check the pattern, or name the folder",
        )
    elif text.lower().endswith(TARS):
        yield from _tar(path)
    elif path.suffix.lower() == ".parquet":
        yield from _parquet(path)
    else:
        yield _file(path)


def _nonempty(items: Iterator[Item], complaint: str) -> Iterator[Item]:
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise DataError(complaint)


def _lines() -> Iterator[str]:
    """Paths on stdin, one a line; read as bytes, since names need not be UTF-8."""
    for line in sys.stdin.buffer:
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if name:
            yield name


def _file(path: Path) -> Item:
    if path.suffix.lower() in OTHER_SUFFIXES:
        return Item(
            str(path),
            None,
            f"{path.suffix.lower()[1:].upper()} is a format plusx does not read; convert it to JPEG or PNG",
        )
    return Item(str(path), path)


def _folder(root: Path, depth: int = 0, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Item]:
    """Images below `root`, depth first, by name. Links are followed, but never into a folder that one is already in."""
    try:
        about = os.stat(root)
        with os.scandir(root) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Item(str(root), None, f"cannot be read ({error.strerror})")
        return
    here = (about.st_dev, about.st_ino)
    if (here in above and about.st_ino) or depth > _MAX_DEPTH:
        return
    for entry in entries:
        path, suffix = root / entry.name, os.path.splitext(entry.name)[1].lower()
        if _is_dir(entry):
            yield from _folder(path, depth + 1, (*above, here))
        elif suffix in SUFFIXES or suffix in OTHER_SUFFIXES:
            yield _file(path)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a ring
        return False


def _tar(path: Path) -> Iterator[Item]:
    """Images of a tar archive in the order they lie in it; nothing is unpacked to disk."""
    try:
        with open_stream(path) as stream:
            for name, _, size in members(stream):
                if os.path.splitext(name)[1].lower() not in SUFFIXES:
                    continue
                if size > MAX_FILE_BYTES:
                    yield Item(f"{path}/{name}", None, f"{size} bytes, more than the cap of {MAX_FILE_BYTES}")
                else:
                    yield Item(f"{path}/{name}", stream.exactly(size))
    except DataError as error:
        yield Item(str(path), None, f"not a whole tar archive ({error})")


def _parquet(path: Path) -> Iterator[Item]:
    """Images of a Parquet file, named by row."""
    try:
        for row, raw in enumerate(encoded_images(path)):
            yield Item(f"{path}/{row}", raw or b"")
    except DataError as error:
        yield Item(str(path), None, str(error))
