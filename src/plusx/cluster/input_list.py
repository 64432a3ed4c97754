"""The list of a job's inputs on disk: as many as a file can hold, any row of it found at once, and one hash of all names."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from plusx.cluster.inputs import InputRecord, parse_record
from plusx.cluster.stores import Store

STRIDE = 1000
"""Every so many rows the list's index has an entry: 8 MB for a billion rows."""


class NamesHash:
    """SHA-256 over names in order, each as its length and its UTF-8.

    A name that is no UTF-8 counts as Parquet would hold it, so that the hash is the same for rows in every format.
    """

    def __init__(self) -> None:
        self._hash, self.n = hashlib.sha256(), 0

    def add(self, name: str) -> None:
        raw = plain_name(name).encode()
        self._hash.update(len(raw).to_bytes(4, "big") + raw)
        self.n += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def plain_name(name: str) -> str:
    """The name as UTF-8 can hold it.

    >>> plain_name("caf\\udce9")
    'caf\\ufffd'
    """
    try:
        name.encode()
        return name
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(frozen=True)
class InputList:
    """`n` records in the file `name` of a store, the hash of their names, and the byte at which every STRIDE-th begins."""

    store: Store
    name: str
    n: int
    sha256: str
    index: array[int]

    def where(self, row: int) -> tuple[int, int]:
        """The byte from which to read, and the records to skip there, to come to `row`."""
        return self.index[row // STRIDE] if row < self.n else 0, row % STRIDE

    def records(self, start: int, stop: int) -> Iterator[InputRecord]:
        return read_records(self.store, self.name, *self.where(start), stop - start)


def read_records(store: Store, name: str, offset: int, skip: int, count: int) -> Iterator[InputRecord]:
    """`count` records of a list, as `InputList.where` finds them."""
    with store.open(name) as file:
        file.seek(offset)
        for line in islice(_lines(file), skip, skip + count):
            yield parse_record(line)


def _lines(file: object) -> Iterator[bytes]:
    """The lines of a file, which pyarrow's files cannot give."""
    rest = b""
    while piece := file.read(1 << 18):  # type: ignore[attr-defined]
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def write_list(records: Iterable[InputRecord], path: Path, store: Store, name: str) -> InputList:
    """Writes the records to `path`, to be the file `name` of the store. Raises OSError."""
    names, index, at = NamesHash(), array("q"), 0
    with path.open("wb", buffering=1 << 20) as file:
        for row, record in enumerate(records):
            if row % STRIDE == 0:
                index.append(at)
            names.add(record.name)
            at += file.write(record.line().encode() + b"\n")
    return InputList(store, name, names.n, names.hexdigest(), index)
