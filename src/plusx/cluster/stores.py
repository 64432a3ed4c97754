"""Folders of files, here or in an object store. A file appears whole under its name, or not at all.

A local folder needs no library. Any other address (s3://, gs://, …) is opened by pyarrow, or by fsspec where pyarrow does
not know it. A file is written here first and uploaded then: an object store shows no upload before it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from plusx.errors import DataError, RunError
from plusx.i18n import _
from plusx.locks import LockedError, acquire
from plusx.runtime.output_files import not_writable
from plusx.runtime.quiet import missing

T = TypeVar("T")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_PIECE = 1 << 20
_MOST_COPIED = 5 << 30
"""Bytes that S3 copies in one request (CopyObject), and so renames."""
_YOUNG_S = 60
"""How old a scratch folder must be before it may be a killed process's: a new one is not locked at once."""
TRIES = 4
"""How often an object store is asked, with pauses of 0.5, 1 and 2 s between."""


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


def is_remote(address: str) -> bool:
    """Whether it is an address of another system, as s3://bucket/folder, and not a path.

    >>> is_remote("s3://bucket/a"), is_remote("photos/"), is_remote("C:/photos")
    (True, False, False)
    """
    return _REMOTE.match(address) is not None


def store_at(address: str) -> Store:
    """The folder at a path or an address. Raises DataError for an address of no known kind, MissingExtra."""
    if not is_remote(address):
        return LocalStore(address)
    system, root = file_system(address)
    return RemoteStore(address, system, root)


def split_address(address: str) -> tuple[str, str]:
    """The folder of a file, and its name there.

    >>> split_address("s3://bucket/a/b.jpg"), split_address("b.jpg")
    (('s3://bucket/a', 'b.jpg'), ('.', 'b.jpg'))
    """
    if is_remote(address):
        folder, _slash, name = address.rpartition("/")
        return folder, name
    return str(Path(address).parent), Path(address).name


def file_system(address: str) -> tuple[Any, str]:
    """pyarrow's file system of an address, and the path in it. Raises DataError, MissingExtra."""
    scheme, _colon, rest = address.partition("://")
    system = _system(scheme.lower(), rest.partition("/")[0])
    return (system, rest) if scheme.lower() != "file" else (system, f"/{rest.lstrip('/')}")


@cache
def _system(scheme: str, host: str) -> Any:
    try:
        from pyarrow import fs
    except ImportError as error:
        raise missing("pyarrow", error) from error
    try:
        if scheme == "s3":  # the bucket's region is asked for where the environment names none
            return fs.FileSystem.from_uri(f"s3://{host}")[0]
        return fs.FileSystem.from_uri(f"{scheme}://{host}/")[0]
    except (ValueError, OSError, NotImplementedError) as error:
        try:
            import fsspec

            return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))
        except (ImportError, ValueError):
            raise DataError(
                _(
                    "{address} cannot be opened ({reason}). Write a path, or an address like s3://bucket/folder.",
                    address=f"{scheme}://{host}", reason=_first_line(error),
                )
            ) from error  # fmt: skip


def asked(call: Callable[[], T], address: str) -> T:
    """What the call gives, after as many tries as an object store deserves.

    Raises FileNotFoundError and PermissionError at once, and RunError after the last try.
    """
    for tries in range(TRIES):
        try:
            return call()
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except OSError as error:
            if tries == TRIES - 1 or error.errno == errno.ENOSPC or _is_final(str(error)):
                raise RunError(
                    _(
                        "{address} could not be reached ({reason}). Check the address and the access to it, and run the same "
                        "command again. What is complete is kept.",
                        address=address, reason=_first_line(error),
                    )
                ) from error  # fmt: skip
            time.sleep(0.5 * 2**tries)
    raise AssertionError  # the last try returns or raises


def _is_final(text: str) -> bool:
    """Whether asking again is of no use: S3 says so in words only."""
    return any(
        word in text
        for word in ("NO_SUCH_BUCKET", "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH")
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__


def _sync(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a directory, nor does it need to
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
