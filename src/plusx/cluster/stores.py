"""Folders of files, here or in an object store. A file appears whole under its name, or not at all.

A local folder needs no library. Any other address (s3://, gs://, …) is opened by pyarrow, or by fsspec where pyarrow does
not know it. A file is written here first and uploaded then: an object store shows no upload before it is complete.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from plusx.cluster.addresses import asked, file_system, is_remote
from plusx.errors import RunError
from plusx.i18n import _
from plusx.locks import LockedError, acquire
from plusx.runtime.output_files import not_writable

_PIECE = 1 << 20
_MOST_COPIED = 5 << 30
"""Bytes that S3 copies in one request (CopyObject), and so renames."""
_YOUNG_S = 60
"""How old a scratch folder must be before it may be a killed process's: a new one is not locked at once."""


class Store(Protocol):
    """A folder. Names are relative to it, with slashes. Methods raise OSError, as the file system does."""

    address: str

    def names(self, folder: str = "") -> list[str]:
        """The files of one folder, by name; none where there is no such folder."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A file for reading at any place."""
        ...

    def put(self, name: str, file: Path) -> None:
        """`file`, which lies in `scratch`, becomes the file `name`, whole and durable."""
        ...

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """An empty local folder that goes at the end."""
        ...

    def local(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """The file as a local one, for the time of the context."""
        ...


class LocalStore:
    def __init__(self, folder: str | Path) -> None:
        self.folder, self.address = Path(folder), str(folder)

    def names(self, folder: str = "") -> list[str]:
        try:
            with os.scandir(self.folder / folder) as found:
                return sorted(entry.name for entry in found if entry.is_file())
        except FileNotFoundError:
            return []

    def open(self, name: str) -> BinaryIO:
        return (self.folder / name).open("rb")

    def put(self, name: str, file: Path) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as written:
            os.fsync(written.fileno())
        file.replace(target)
        _sync(target.parent)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Beside the results, so that they are renamed into place. What killed processes left there is removed first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob(".plusx-*"):
            with contextlib.suppress(OSError, LockedError):
                if time.time() - old.stat().st_mtime > _YOUNG_S:
                    lock = acquire(old / "lock", 0)
                    if lock.supported:
                        shutil.rmtree(old)
                    lock.forget()
        made = Path(tempfile.mkdtemp(prefix=".plusx-", dir=self.folder))
        try:
            lock = acquire(made / "lock")
            (made / "files").mkdir()
            yield made / "files"
            lock.release()
        finally:
            shutil.rmtree(made, ignore_errors=True)

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        yield self.folder / name


class RemoteStore:
    def __init__(self, address: str, system: Any, root: str) -> None:
        self.address, self._system, self._root = address.rstrip("/"), system, root.rstrip("/")

    def names(self, folder: str = "") -> list[str]:
        from pyarrow import fs

        where = fs.FileSelector(self._path(folder), allow_not_found=True)
        found = asked(lambda: self._system.get_file_info(where), self.address)
        return sorted(posixpath.basename(info.path) for info in found if info.type == fs.FileType.File)

    def open(self, name: str) -> BinaryIO:
        return asked(lambda: self._system.open_input_file(self._path(name)), f"{self.address}/{name}")

    def put(self, name: str, file: Path) -> None:
        # under a hidden name first, since pyarrow completes an upload that an exception or Ctrl-C ended in its middle
        target, size = self._path(name), file.stat().st_size
        folder, _slash, last = target.rpartition("/")
        path = f"{folder}/.plusx-{secrets.token_hex(6)}-{last}" if size <= _MOST_COPIED else target
        try:
            asked(lambda: self._upload(file, path), f"{self.address}/{name}")
            if path != target:
                asked(lambda: self._system.move(path, target), f"{self.address}/{name}")
        except BaseException:
            with contextlib.suppress(Exception):
                self._system.delete_file(path)
            raise

    def _upload(self, file: Path, path: str) -> None:
        with file.open("rb") as source, self._system.open_output_stream(path) as target:
            shutil.copyfileobj(source, target, _PIECE)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="plusx-") as made:
            yield Path(made)

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        with self.scratch() as folder:
            path = folder / posixpath.basename(name)
            with self.open(name) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, _PIECE)
            yield path

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


@contextlib.contextmanager
def claimed(store: Store, name: str, address: str) -> Iterator[None]:
    """What is written to `address`, for this process alone where it lies on this machine or a shared disk; `name` is the lock's.

    In an object store nothing is locked: there, of two writers of one file the last counts, and either is whole.
    Raises RunError where another process writes, DataError where nothing can be written.
    """
    if not isinstance(store, LocalStore):
        yield
        return
    path = store.folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = acquire(path)
    except LockedError as error:
        raise RunError(
            _(
                "Another process ({holder}) is writing to {path}. Wait until it has finished, or write to another place.",
                holder=error.holder.text(), path=address,
            )
        ) from error  # fmt: skip
    except OSError as error:
        raise not_writable(address, error) from error
    try:
        yield
    finally:
        lock.release()


def store_at(address: str) -> Store:
    """The folder at a path or an address. Raises DataError for an address of no known kind, MissingExtra."""
    if not is_remote(address):
        return LocalStore(address)
    system, root = file_system(address)
    return RemoteStore(address, system, root)


def _sync(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a directory, nor does it need to
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
