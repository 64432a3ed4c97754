"""The images of a job as records of where each lies, so that any part of them can be read anywhere."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any

from plusx.cluster.addresses import asked, file_system, is_remote
from plusx.data.archive import ArchiveStream, compression, members
from plusx.data.parquet import count_images
from plusx.errors import DataError
from plusx.i18n import _
from plusx.images import SUFFIXES, NonImages, is_ignored
from plusx.runtime.inputs import TARS, find_images, is_tar_image, stdin_names, too_large

_BUFFER = 1 << 18
"""Bytes that are fetched at once while a tar archive is listed: the header of an image, and many a small image itself."""


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One image: its name in the rows, the file it lies in (None where `error` says why it has none), and where there.

    `at` is None for a file that is an image, (offset, bytes) in a tar archive, (row,) in a Parquet file.
    """

    name: str
    file: str | None
    at: tuple[int, ...] | None = None
    error: str | None = None

    def line(self) -> str:
        """The record as a line of JSON.

        >>> InputRecord("a.tar/1.jpg", "a.tar", (512, 900)).line()
        '["a.tar/1.jpg","a.tar",512,900]'
        """
        if self.error is not None:
            return json.dumps([self.name, None, self.error], separators=(",", ":"))
        if self.at is None and self.file == self.name:
            return json.dumps([self.name])
        return json.dumps([self.name, self.file, *(self.at or ())], separators=(",", ":"))


def parse_record(line: str | bytes) -> InputRecord:
    """The inverse of `InputRecord.line`, whose file plusx wrote.

    >>> parse_record('["a.jpg"]').file
    'a.jpg'
    """
    name, *rest = json.loads(line)
    if not rest:
        return InputRecord(name, name)
    if rest[0] is None:
        return InputRecord(name, None, error=rest[1])
    return InputRecord(name, rest[0], tuple(rest[1:]) or None)


def find_records(paths: Iterable[str], tally: NonImages | None = None) -> Iterator[InputRecord]:
    """The images of every path, in the order of `runtime.inputs.find_images`; a path may be an address.

    Raises DataError for what find_images refuses, and for an archive whose images cannot be read one by one.
    """
    tally = NonImages() if tally is None else tally
    for text in paths:
        if text == "-":
            yield from (InputRecord(name, name) for name in stdin_names())
        elif is_remote(text):
            yield from _remote(text, tally)
        elif text.lower().endswith(TARS) and os.path.isfile(text):
            yield from _tar(text)
        elif text.lower().endswith(".parquet") and os.path.isfile(text):
            yield from _parquet(text)
        else:
            for item in find_images([text], tally):
                error = None if item.error is None else str(item.error)
                yield InputRecord(item.name, None if error else item.name, error=error)


def _remote(address: str, tally: NonImages) -> Iterator[InputRecord]:
    from pyarrow import fs

    system, path = file_system(address)
    info = asked(lambda: system.get_file_info(path.rstrip("/")), address)
    if info.type == fs.FileType.NotFound:
        raise DataError(_("There is nothing at {address}. Check the address.", address=address))
    if info.type == fs.FileType.File:
        yield from _remote_file(address)
        return
    scheme, found = address.partition("://")[0], False
    for entry in _below(system, path.rstrip("/"), address):
        name = f"{scheme}://{entry}"
        if posixpath.splitext(entry)[1].lower() in SUFFIXES or entry.lower().endswith((*TARS, ".parquet")):
            found = True
            yield from _remote_file(name)
        else:
            tally.add(Path(name))
    if not found:
        raise DataError(_("There are no images in {path}.", path=address))


def _below(system: Any, folder: str, address: str) -> Iterator[str]:
    """The files below a folder, depth first, by name; one folder's names are in memory at a time."""
    from pyarrow import fs

    infos = asked(lambda: system.get_file_info(fs.FileSelector(folder)), address)
    for info in sorted(infos, key=lambda info: posixpath.basename(info.path)):
        if is_ignored(posixpath.basename(info.path)):
            continue
        if info.type == fs.FileType.Directory:
            yield from _below(system, info.path, address)
        else:
            yield info.path


def _remote_file(address: str) -> Iterator[InputRecord]:
    lower = address.lower()
    if lower.endswith(TARS):
        yield from _tar(address)
    elif lower.endswith(".parquet"):
        yield from _parquet(address)
    else:
        yield InputRecord(address, address)


def _tar(path: str) -> Iterator[InputRecord]:
    """The images of a tar archive and where they lie in it; only the headers are read."""
    try:
        with _opened(path) as file:
            kind = compression(file.peek(8))
            if kind is not None:
                raise DataError(
                    _(
                        "{path} is compressed with {kind}, so images in its middle cannot be read by one of many machines. "
                        "Decompress it first, or leave --shard and --ray out.",
                        path=path, kind=kind,
                    )
                )  # fmt: skip
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            found = members(ArchiveStream(file, size))
            while True:
                try:
                    name, offset, length = next(found)
                except StopIteration:
                    return
                except DataError as error:
                    yield InputRecord(path, None, error=str(_("not a whole tar archive ({why})", why=error.message)))
                    return
                if is_tar_image(name):
                    why = too_large(length)
                    yield InputRecord(f"{path}/{name}", None if why else path, (offset, length), why and str(why))
    except OSError as error:
        yield InputRecord(path, None, error=str(_("it cannot be read ({reason})", reason=error.strerror or error)))


def _parquet(path: str) -> Iterator[InputRecord]:
    try:
        if is_remote(path):
            with open_remote(path) as file:
                rows = count_images(Path(path), file)
        else:
            rows = count_images(Path(path))
    except DataError as error:
        return iter([InputRecord(path, None, error=str(error.message))])
    return (InputRecord(f"{path}/{row}", path, (row,)) for row in range(rows))


def open_remote(address: str) -> Any:
    """A file of an object store, as pyarrow opens it. Raises FileNotFoundError, PermissionError, RunError."""
    system, path = file_system(address)
    return asked(lambda: system.open_input_file(path), address)


def _opened(path: str) -> BufferedReader:
    if is_remote(path):
        return BufferedReader(open_remote(path), _BUFFER)
    return open(path, "rb")


def first_fetched(records: Iterator[InputRecord]) -> Iterator[InputRecord]:
    """The same records; the first is found now, so that errors come before anything is written."""
    for first in records:
        return chain([first], records)
    return iter(())
