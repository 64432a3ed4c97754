"""Records become images to decode; what lies in an object store is fetched by several threads ahead of its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from plusx.cluster.addresses import asked, is_remote
from plusx.cluster.inputs import InputRecord, open_remote
from plusx.data.parquet import encoded_images
from plusx.errors import DataError
from plusx.i18n import _
from plusx.runtime.inputs import Item, too_large

FETCHING = 16
"""Images that are fetched at a time: a store answers in 10 to 50 ms, so this is 300 images a second and more."""
_MOST_FETCHED = 128 << 20
"""Bytes of fetched images that may wait."""


def read_items(records: Iterable[InputRecord]) -> Generator[Item, None, None]:
    """An Item for each record, in order. What does not exist is an Item with its reason; RunError where a store is not reached."""
    waiting: deque[Future[Item]] = deque()
    held = 0
    with closing(_Readers()) as readers, ThreadPoolExecutor(FETCHING, thread_name_prefix="plusx-fetch") as pool:
        try:
            for record in records:
                if record.file is None or len(record.at or ()) == 1 or not is_remote(record.file):
                    future: Future[Item] = Future()
                    future.set_result(readers.item(record))
                else:
                    future = pool.submit(_fetched, record)
                waiting.append(future)
                while waiting and (waiting[0].done() or len(waiting) > 2 * FETCHING or held > _MOST_FETCHED):
                    yield waiting.popleft().result()
                    held = sum(_bytes_of(future) for future in waiting)
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class _Readers:
    """The archive that was read last, kept open, because the images of one follow each other."""

    def __init__(self) -> None:
        self._file: str | None = None
        self._open: Any = None
        self._rows: Iterator[bytes | None] | None = None
        self._next_row = -1

    def item(self, record: InputRecord) -> Item:
        if record.file is None:
            return Item(record.name, None, record.error)
        try:
            if record.at is None:
                return Item(record.name, Path(record.file))
            if len(record.at) == 1:
                return Item(record.name, self._row(record.file, record.at[0]) or b"")
            return Item(record.name, self._slice(record.file, *record.at))
        except OSError as error:
            self.close()
            return Item(record.name, None, _("it cannot be read ({reason})", reason=error.strerror or error))
        except DataError as error:
            self.close()
            return Item(record.name, None, error.message)

    def _slice(self, path: str, offset: int, size: int) -> bytes:
        if self._file != path:
            self.close()
            self._file, self._open = path, open(path, "rb")
        self._open.seek(offset)
        return _whole(self._open.read(size), size)

    def _row(self, path: str, row: int) -> bytes | None:
        if self._file != path or self._next_row != row or self._rows is None:
            self.close()
            self._open = open_remote(path) if is_remote(path) else None
            self._file, self._rows = path, encoded_images(Path(path), row, self._open)
        self._next_row = row + 1
        return next(self._rows, None)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._file = self._open = self._rows = None


def _fetched(record: InputRecord) -> Item:
    assert record.file is not None
    try:
        with open_remote(record.file) as file:
            offset, size = record.at or (0, file.size())
            if why := too_large(size):
                return Item(record.name, None, why)
            raw = asked(lambda: _at(file, offset, size), record.file)
            return Item(record.name, _whole(raw, size))
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        return Item(record.name, None, _("it cannot be read ({reason})", reason=reason.partition(". Detail")[0]))
    except DataError as error:
        return Item(record.name, None, error.message)


def _at(file: Any, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _whole(raw: bytes, size: int) -> bytes:
    if len(raw) < size:
        raise DataError(_("it is cut short ({n} of {size} bytes)", n=len(raw), size=size))
    return raw


def _bytes_of(future: Future[Item]) -> int:
    if not future.done() or future.exception() is not None:
        return 0
    source = future.result().source
    return len(source) if isinstance(source, bytes) else 0
