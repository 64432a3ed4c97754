"""Locks on files, held by a process and freed by its death, and files that are written beside their target under one.

They are flock's, which since Linux 2.6.12 hold on NFS too, and between machines (flock(2), "NFS details").
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from plusx.i18n import Message, _

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_MOST_TEXT = 1 << 12
PART = "plusx-part"
"""Ending of a file that is being written beside its target; no other program's is swept."""


class UnsupportedLockError(Exception):
    """The file system has no locks."""


@dataclass(frozen=True)
class LockHolder:
    """The process that holds a lock, as the lock's file names it; a part that it does not say is None."""

    host: str | None = None
    pid: int | None = None
    since: str | None = None

    @property
    def is_this_process(self) -> bool:
        return (self.host, self.pid) == (platform.node(), os.getpid())

    def text(self) -> Message:
        if self.pid is None:
            return _("another process")
        return _("process {pid} on {host}, since {since}", pid=self.pid, host=self.host or "?", since=self.since or "?")


class LockedError(Exception):
    """Another process holds the lock, or another training of this one."""

    def __init__(self, holder: LockHolder) -> None:
        super().__init__(holder)
        self.holder = holder


class Lock:
    """A lock that this process holds on `path`. `supported` is False where the file system has none: nothing is held then."""

    def __init__(self, path: Path, handle: int, supported: bool) -> None:
        self.path, self.supported = path, supported
        self._handle: int | None = handle
        _held.add(self)

    def release(self) -> None:
        """Frees the lock and removes its file."""
        if self._handle is None:
            return
        with contextlib.suppress(OSError):  # moved or removed by somebody, or Windows, which removes no open file
            if _is_at(self._handle, self.path):
                self.path.unlink()
        self.forget()

    def forget(self) -> None:
        """Closes the file without freeing the lock: what a forked child does with its parent's."""
        _held.discard(self)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


_held: set[Lock] = set()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def acquire(path: Path, patience_s: float = 1.0) -> Lock:
    """The lock on `path`, whose file then names this process. Raises LockedError when another holds it, and OSError.

    It tries for `patience_s`: who asks for the holder has the lock for a moment, and a process that was killed may not
    be gone yet.
    """
    end = time.monotonic() + patience_s
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            supported = True
            try:
                free = _try_lock(handle)
            except UnsupportedLockError:
                free, supported = True, False
            if free and _is_at(handle, path):  # else its holder has just removed the file
                about = {"host": platform.node(), "pid": os.getpid(), "since": _now()}
                os.ftruncate(handle, 0)
                os.write(handle, json.dumps(about).encode())
                lock, handle = Lock(path, handle, supported), -1
                return lock
            if not free and time.monotonic() >= end:
                raise LockedError(_read_holder(handle))
        finally:
            if handle >= 0:
                os.close(handle)
        time.sleep(0.02)


def holder(path: Path) -> LockHolder | None:
    """Who holds the lock on `path`; None where nobody does. Raises UnsupportedLockError where that cannot be known."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnsupportedLockError from error
    try:
        return None if _try_lock(handle) else _read_holder(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A new file beside `target` that takes its place at the end; what killed writers left in its folder is removed.

    Raises OSError; `target` is unchanged then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    aside, file = _new_beside(target)
    try:
        with file:
            yield file
            file.flush()
            if os.name == "nt":  # which renames no open file
                file.close()
            aside.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def _new_beside(target: Path) -> tuple[Path, BinaryIO]:
    while True:
        aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.{PART}")
        file = aside.open("xb")
        with contextlib.suppress(UnsupportedLockError):
            _try_lock(file.fileno())
        if _is_at(file.fileno(), aside):  # else another has swept it before it was locked
            return aside, file
        file.close()


def _sweep(folder: Path) -> None:
    """Removes what writers that were killed left half written; what is locked is being written."""
    for path in folder.glob(f".*.{PART}"):
        with contextlib.suppress(OSError, UnsupportedLockError):
            handle = os.open(path, os.O_RDWR)
            try:
                if _try_lock(handle):
                    path.unlink()
            finally:
                os.close(handle)


def _try_lock(handle: int) -> bool:
    """Whether the lock is this handle's now. Raises UnsupportedLockError."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(handle, 1 << 30, os.SEEK_SET)  # far behind the text, which others must be able to read
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise UnsupportedLockError from error
        return False
    return True


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _read_holder(handle: int) -> LockHolder:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        found = json.loads(os.read(handle, _MOST_TEXT))
        host, pid, since = str(found["host"]), int(found["pid"]), str(found["since"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return LockHolder()
    return LockHolder(_line(host), pid, _line(since))


def _line(text: str) -> str:
    return "".join(char for char in text[:100] if char.isprintable())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
