"""One writer of a bundle, and one of a run, at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from plusx import locks
from plusx.bundles.atomic import aside, disk_error
from plusx.errors import BundleError
from plusx.i18n import _

LOCK = ".plusx.lock"
"""The file in a run's directory whose lock its training holds."""
_BUNDLE_PATIENCE_S = 60.0


@contextmanager
def sole_writer(bundle: Path) -> Iterator[None]:
    """Inside, no other process writes to the bundle at `bundle`, which takes milliseconds as a rule.

    Who waits for a minute goes on without the lock: a process that was stopped must not stop a training. Where the folder
    around the bundle cannot be written, nobody can replace the bundle, and no lock is needed.
    """
    with ExitStack() as stack:
        try:
            stack.callback(locks.acquire(aside(bundle, "lock"), _BUNDLE_PATIENCE_S).release)
        except (OSError, locks.LockedError):
            pass
        yield


def lock_run(run: Path, patience_s: float) -> locks.Lock:
    """The lock of the run at `run`, an existing directory. Raises BundleError that names the holder, and RunError."""
    try:
        return locks.acquire(run / LOCK, patience_s)
    except locks.LockedError as error:
        raise held_error(run, error.holder) from error
    except OSError as error:
        raise disk_error(run, error) from error


def held_error(run: Path, holder: locks.LockHolder) -> BundleError:
    """The error for a run that another training writes to."""
    if holder.is_this_process:
        return BundleError(
            _(
                "This process is training {run} already. Close the iterator of its events, or restart the kernel.",
                run=run,
            )
        )
    return BundleError(
        _("{run} is being trained by {holder}. Wait until that ends, or stop it first.", run=run, holder=holder.text())
    )


def run_holder(run: Path) -> locks.LockHolder | None:
    """Who is training the run at `run`; None: nobody. Raises locks.UnsupportedLockError where that cannot be known."""
    return locks.holder(run / LOCK)
