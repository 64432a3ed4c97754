"""One download at a time of each file, whatever the number of processes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from plusx.i18n import _
from plusx.weights.hub.watching import Watch

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextmanager
def locked(to: Path, watch: Watch) -> Iterator[None]:
    """Inside, no other process on this machine downloads the same file. Raises RunError where the folder cannot be written.

    Where the system or the disk has no locks, nothing is locked: hashes are compared all the same.
    """
    with _lock_file(to) as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                watch.waits(_("another process downloads {name}; waiting for it", name=to.name))
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:  # a disk without locks
                pass
        yield


def _lock_file(to: Path) -> IO[str]:
    """The file that is locked; it stays, since another process may be waiting for it."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        return to.with_name(f".{to.name}.lock").open("a")
    except OSError as error:
        from plusx.bundles.atomic import disk_error

        raise disk_error(to, error) from error
