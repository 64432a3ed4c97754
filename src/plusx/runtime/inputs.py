"""The images of a PATH of predict and embed: files, folders, patterns, a list on stdin, tar shards, Parquet."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.data.archive import members, open_stream
from plusx.data.parquet import encoded_images
from plusx.errors import DataError
from plusx.i18n import Message, _, joined
from plusx.images import MAX_FILE_BYTES, OTHER_SUFFIXES, SUFFIXES, NonImages, Walk, is_ignored
from plusx.images.patterns import matches
from plusx.images.walking import file_status

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ImageSource = Path | bytes | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Item:
    """One image to decode: its name in the rows and its content; `source` None where `error` says why."""

    name: str
    source: ImageSource | None
    error: str | None = None


def find_images(paths: Iterable[str], tally: NonImages | None = None) -> Iterator[Item]:
    """The images of every path, in order, as they are found. A name without a file is an item too, and so a row.

    Folders and patterns are searched as training searches them (`images.Walk`); `tally` counts what is no image there.
    Raises DataError, once it is reached, for a folder without images, a pattern without match, an empty PATH.
    """
    for text in paths:
        if text == "-":
            yield from (Item(line, Path(line)) for line in stdin_names())
        elif not text:
            raise DataError(_("A PATH is empty (''). Name an image, a folder or a pattern."))
        else:
            yield from _one(text, NonImages() if tally is None else tally)


def is_countable(paths: Iterable[str]) -> bool:
    """Whether the images can be counted beforehand without reading them: no stdin, no archive."""
    return not any(text == "-" or text.lower().endswith((*TARS, ".parquet")) for text in paths)


def _one(text: str, tally: NonImages) -> Iterator[Item]:
    path = Path(text)
    if os.path.isdir(path):  # Path.is_dir raises for a name that is too long
        yield from _nonempty(
            _folder(path, tally), lambda: _with_tally(_("There are no images in {path}.", path=text), tally)
        )
    elif not os.path.lexists(path) and glob.has_magic(text):
        nothing = _("No image matches {pattern}. Check the pattern, or name the folder.", pattern=text)
        yield from _nonempty(_matches(text, tally), lambda: _with_tally(nothing, tally))
    elif text.lower().endswith(TARS):
        yield from _tar(path)
    elif path.suffix.lower() == ".parquet":
        yield from _parquet(path)
    else:
        yield _file(path)


def _with_tally(message: Message, tally: NonImages) -> Message:
    """The message, followed by what was found there that is no image."""
    words = tally.note()
    return joined(" ", [message, _("Skipped there: {words}.", words=words)]) if words else message


def _nonempty(items: Iterator[Item], complaint: Callable[[], Message]) -> Iterator[Item]:
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise DataError(complaint())


def stdin_names() -> Iterator[str]:
    """Paths on stdin, one a line; read as bytes, since names need not be UTF-8."""
    for line in sys.stdin.buffer:
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if name:
            yield name


def _file(path: Path) -> Item:
    """A file that was named itself becomes a row, whatever it is."""
    if path.suffix.lower() in OTHER_SUFFIXES and os.path.isfile(path) and (reason := file_status(path)):
        return Item(str(path), None, reason)
    return Item(str(path), path)


def _folder(root: Path, tally: NonImages) -> Iterator[Item]:
    """Images below `root`, depth first, by name."""
    for found in Walk(root, tally):
        path = root / found.name
        yield Item(str(path), None if found.reason else path, found.reason)


def _matches(text: str, tally: NonImages) -> Iterator[Item]:
    """Images among the files that match a pattern, selected as those of a folder are."""
    for path in matches(text):
        if is_ignored(path.name) or os.path.isdir(path):
            continue
        reason = file_status(path) if os.path.isfile(path) else ""
        if reason is None:
            tally.add(path)
        else:
            yield Item(str(path), None if reason else path, reason or None)


def _tar(path: Path) -> Iterator[Item]:
    """Images of a tar archive in its own order; nothing is unpacked to disk."""
    try:
        with open_stream(path) as stream:
            for name, _offset, size in members(stream):
                if not is_tar_image(name):
                    continue
                reason = too_large(size)
                yield Item(f"{path}/{name}", None if reason else stream.exactly(size), reason)
    except DataError as error:
        yield Item(str(path), None, _("not a whole tar archive ({why})", why=error.message))


def is_tar_image(name: str) -> bool:
    """Whether a member of an archive is an image: a stream is read once, so the name decides."""
    litter = any(is_ignored(part) for part in name.split("/") if part not in (".", ".."))
    return not litter and os.path.splitext(name)[1].lower() in SUFFIXES


def too_large(size: int) -> Message | None:
    """Why a file of so many bytes is not read, or None."""
    return (
        None
        if size <= MAX_FILE_BYTES
        else _("{size} bytes exceed the limit of {limit}", size=size, limit=MAX_FILE_BYTES)
    )


def _parquet(path: Path) -> Iterator[Item]:
    """Images of a Parquet file, named by row."""
    try:
        for row, raw in enumerate(encoded_images(path)):
            yield Item(f"{path}/{row}", raw or b"")
    except DataError as error:
        yield Item(str(path), None, error.message)
