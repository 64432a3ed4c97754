"""The directory of a run, taken by one process: locked while it trains, and numbered where nobody named it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from pathlib import Path

from plusx.bundles import check_output_dir, read_run
from plusx.bundles.atomic import current_location, disk_error
from plusx.bundles.run import METRICS, had_progress, has_first_weights, is_finished, last_lines
from plusx.bundles.run_place import clear_unbegun
from plusx.bundles.writing import lock_run
from plusx.data import Data
from plusx.errors import BundleError, SpecError
from plusx.i18n import Message, _
from plusx.locks import Lock
from plusx.training.distributed import restarted

PATIENCE_S = 1.0
RESTART_PATIENCE_S = 60.0
"""After torchrun's restart the process that held the lock may live on another machine, and end a little later."""


def numbered(stem: Path, number: int) -> Path:
    """The directory of a run that nobody named, as runs/resnet18-photos-001."""
    return stem.with_name(f"{stem.name}-{number:03d}")


def claim_new(path: Path, stem: Path | None, stack: ExitStack) -> tuple[Path, Message | None]:
    """The directory of a new run, made and locked until `stack` ends, and what to tell of it.

    `path`, or with a `stem` the first free number: making a directory succeeds once, so no two runs get the same. What was
    made is removed where the run never began. Raises BundleError that names the holder, and RunError.
    """
    try:
        if stem is None:
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
        else:
            made = [folder for folder in stem.parents if not folder.exists()]
            path = _make_numbered(stem)
            made.insert(0, path)
    except OSError as error:
        raise disk_error(path, error) from error
    note = _lock(path, partial(_remove_empty, made), stack)
    check_output_dir(path, locked=True)
    clear_unbegun(path)
    return path, note


def claim_existing(path: Path, stack: ExitStack) -> tuple[Path, Message | None]:
    """The run at `path`, locked until `stack` ends. Raises BundleError that names the holder, and RunError."""
    return path, _lock(path, None, stack)


def require_outside(path: Path, where: str | None, data: Data) -> None:
    """Raises SpecError where a run would lie inside its own data, among the class folders."""
    if where is None or data.kind != "folder" or not path.resolve().is_relative_to(where):
        return
    name = path.resolve().relative_to(where).parts[:1]
    raise SpecError(
        _(
            "The run {path} would lie in its data, where {name} would be taken for a class. Name a directory elsewhere, "
            "like --out {other}.",
            path=path, name=f"{name[0] if name else path.name}/", other=Path(where).with_name("run"),
        )
    )  # fmt: skip


def require_untouched(run: Path, command: str) -> None:
    """Raises BundleError unless a run without a complete checkpoint can be trained from its first step, as if never begun.

    `command` trains on from the weights in its bundle.
    """
    found = read_run(run)
    last = (last_lines(run / METRICS) or [{}])[-1]
    has_bundle = current_location(found.bundle).is_dir()
    if is_finished(last):
        raise BundleError(
            _(
                "The run {run} is finished, and its checkpoints were removed. Its bundle is its result. To train on from its "
                "weights: {command}",
                run=run, command=command,
            )
        )  # fmt: skip
    if has_bundle and had_progress(run):
        raise BundleError(
            _(
                "The run {run} has no complete checkpoint left, so it cannot be resumed. To train on from the weights in its "
                "bundle: {command}",
                run=run, command=command,
            )
        )  # fmt: skip
    if not has_first_weights(found) or had_progress(run):
        raise BundleError(
            _(
                "The run {run} has no complete checkpoint left, so it cannot be resumed. Run its command again with another "
                "--out.",
                run=run,
            )
        )  # fmt: skip


def _make_numbered(stem: Path) -> Path:
    stem.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        path = numbered(stem, number)
        with suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError


def _lock(path: Path, then: partial[None] | None, stack: ExitStack) -> Message | None:
    if then is not None:
        stack.callback(then)
    lock: Lock = lock_run(path, RESTART_PATIENCE_S if restarted() else PATIENCE_S)
    stack.callback(lock.release)
    if lock.supported:
        return None
    return _("the file system of {path} has no locks, so nothing keeps a second training from writing to it", path=path)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
