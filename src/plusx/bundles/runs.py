"""Which runs lie below a folder and how far each has come. Only small files are read: nothing is hashed, no weight is read."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from plusx.bundles.atomic import Json, check_sizes, current_location, read_json, read_manifest
from plusx.bundles.bundle import MANIFEST, SCHEMA
from plusx.bundles.records import RunRecord
from plusx.bundles.run import (
    CHECKPOINT_MANIFEST,
    CHECKPOINT_SCHEMA,
    METRICS,
    checkpoint_names,
    had_progress,
    has_first_weights,
    is_finished,
    last_lines,
    read_run,
)
from plusx.bundles.run_place import CHECKPOINTS, RUN_FILE, is_unbegun
from plusx.bundles.writing import LOCK, run_holder
from plusx.errors import BundleError, PlusxError
from plusx.files import read_regular
from plusx.i18n import Message, _, _n, joined
from plusx.locks import UnsupportedLockError
from plusx.metrics import wilson

QUIET_SECONDS = 600
"""Where the file system has no locks: a run without an end in its log that has written nothing for so long counts as interrupted."""
_MOST_TRIES = 10
"""How often a run is read that a training changes meanwhile."""
MOST_STATE = 16 << 20

State = Literal["done", "running", "interrupted", "failed", "damaged"]


@dataclass(frozen=True)
class BestEvaluation:
    """The best evaluation of a run: `correct` of `n` images after `epoch`."""

    top1: float
    n: int
    epoch: int

    @property
    def correct(self) -> int:
        return round(self.top1 * self.n)

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.correct, self.n)


@dataclass(frozen=True)
class RunRow:
    """A run as a row. What could not be read is None; `note` says why, or what went wrong without stopping the run."""

    path: Path
    state: State
    note: Message | str = ""
    network: str | None = None
    recipe: Json | None = None
    data_kind: str | None = None
    data_path: str | None = None
    n_train: int | None = None
    epochs_done: int | None = None
    epochs: int | None = None
    step: int | None = None
    best: BestEvaluation | None = None
    began: datetime | None = None
    seconds: float | None = None
    """Time spent in training, interruptions not counted."""
    size_bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        best = self.best
        return {
            "path": str(self.path), "state": self.state, "note": self.note, "network": self.network,
            "recipe": self.recipe,
            "data": {"kind": self.data_kind, "path": self.data_path, "n": self.n_train},
            "epochs": {"done": self.epochs_done, "planned": self.epochs},
            "step": self.step,
            "best": None if best is None else {
                "top1": best.top1, "n": best.n, "correct": best.correct, "epoch": best.epoch,
                "interval95": None if best.interval is None else list(best.interval),
            },
            "began": None if self.began is None else self.began.isoformat(timespec="seconds"),
            "seconds": self.seconds,
            "bytes": self.size_bytes,
        }  # fmt: skip


def find_runs(where: str | Path) -> list[Path]:
    """Runs at or below `where`, and what is left of such, in the order of their names. Raises BundleError."""
    where = Path(where)
    if not where.is_dir():
        raise BundleError(
            _("There is no folder {where}. Name the one that holds the runs; plusx train writes to runs/.", where=where)
        )
    return sorted(_below(where))


def _below(folder: Path) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        yield folder  # `read_run_row` says what is wrong with it
        return
    names = {entry.name for entry in entries}
    if names & {RUN_FILE, f".{RUN_FILE}.new", LOCK} or {CHECKPOINTS, METRICS} <= names:
        yield folder
        return
    for entry in entries:
        path = folder / entry.name
        # links are followed to runs that lie elsewhere, and no further: a circle would not end
        if entry.is_dir(follow_symlinks=False) or (path / RUN_FILE).is_file():
            yield from _below(path)


def read_run_row(path: Path) -> RunRow:
    """The row of the run at `path`; its note says what is wrong with it."""
    row = _row(path)
    for _try in range(_MOST_TRIES):
        if row.state != "damaged" or not _is_training(path):
            break
        time.sleep(0.02)  # what is replaced while it is read is not damaged
        row = _row(path)
    return row


def _row(path: Path) -> RunRow:
    row = RunRow(path, "damaged", began=_written(path / RUN_FILE) or _written(path), size_bytes=_size(path))
    try:
        if not (path / RUN_FILE).exists() and is_unbegun(path):
            if _is_training(path):
                return replace(row, state="running", step=0, note=_("it is about to begin"))
            return replace(row, note=_("killed before it began; run its command again"))
        run = read_run(path)
    except (BundleError, OSError) as error:
        return replace(row, note=_reason(error))
    try:
        row = replace(row, **_told(run))
        return replace(row, **_progress(run, row))
    except BundleError as error:
        return replace(row, note=error.message)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        return replace(
            row,
            note=_(
                "{path} or its newest checkpoint lacks or misstates {key}", path=path / RUN_FILE, key=_reason(error)
            ),
        )


def _is_training(path: Path) -> bool:
    """Whether a process trains the run now; by the age of its files where the file system has no locks.

    In the process that trains it, which writes the report too, its log tells when it is about to end.
    """
    last = (last_lines(path / METRICS) or [{}])[-1]
    ended = last.get("event") in ("failed", "finished")
    try:
        holder = run_holder(path)
        return holder is not None and not (holder.is_this_process and ended)
    except UnsupportedLockError:
        signs = [sign.stat().st_mtime for sign in (path / METRICS, path / CHECKPOINTS) if sign.exists()]
        return bool(signs) and time.time() - max(signs) < QUIET_SECONDS and not ended


def _told(run: RunRecord) -> dict[str, Any]:
    """The values that run.json holds. Raises KeyError or TypeError for an invalid one."""
    epochs = run.recipe["epochs"]
    wrong = "epochs" if not isinstance(epochs, int) else "data" if run.data.n is None else None
    if wrong is not None:
        raise TypeError(wrong)
    return {
        "network": run.network,
        "recipe": dict(run.recipe),
        "data_kind": run.data.kind,
        "data_path": run.data.path,
        "n_train": run.data.n,
        "epochs": epochs,
        **({} if run.began is None else {"began": run.began}),
    }


def _progress(run: RunRecord, row: RunRow) -> dict[str, Any]:
    """How far it has come: from the newest checkpoint whose files are all there in their sizes. Raises BundleError."""
    found, notes = _newest(run.checkpoints)
    if found is None:
        if notes:
            raise BundleError(notes[0])
        return _without_checkpoint(run)
    progress = found["progress"]
    best, done = progress["best"], int(progress["evaluated"])
    patience, since = run.recipe.get("early_stop", 0), done - (int(best["epoch"]) if best else 0)
    early = done < (row.epochs or 0) and 0 < patience <= since
    notes += (
        [_n("early stopping: {n} epoch without improvement", "early stopping: {n} epochs without improvement", since)]
        if early
        else []
    )
    ended = early or done >= (row.epochs or 0)
    state = {"state": "done", "note": joined("; ", notes)} if ended else _unfinished(run, notes)
    known: dict[str, Any] = {
        "epochs_done": done,
        "step": int(progress["step"]),
        "seconds": float(progress["seconds"]),
        "best": best and BestEvaluation(float(best["top1"]), run.data.val.n if run.data.val else 0, int(best["epoch"])),
    }
    bundle = current_location(run.bundle)
    try:
        if bundle.is_dir():
            check_sizes(bundle, read_json(bundle / MANIFEST, SCHEMA)["files"])
        elif progress["kept"] is not None:
            raise BundleError(
                _("{bundle} is missing. Evaluate the run with --weights last, or train it again.", bundle=run.bundle)
            )
    except BundleError as error:
        return {**known, "state": "damaged", "note": str(error)}
    return {**known, **state}


def _newest(parent: Path) -> tuple[Json | None, list[Message]]:
    """state.json of the newest checkpoint whose files have their sizes, and a line for each newer one that does not."""
    notes: list[Message] = []
    for name in reversed(checkpoint_names(parent)):
        path = parent / name
        try:
            check_sizes(path, read_manifest(path, CHECKPOINT_MANIFEST, CHECKPOINT_SCHEMA)["files"])
            return json.loads(read_regular(path / "state.json", MOST_STATE)), notes
        except BundleError as error:
            if path.is_dir():  # else a training has removed it meanwhile
                notes.append(_("Checkpoint {name} is skipped. {reason}", name=name, reason=error.message))
        except (OSError, ValueError, RecursionError):
            notes.append(_("Checkpoint {name} is skipped. Its state.json is damaged.", name=name))
    return None, notes


def _without_checkpoint(run: RunRecord) -> dict[str, Any]:
    """The row of a run before its first checkpoint, or of one whose checkpoints were removed."""
    last = (last_lines(run.path / METRICS) or [{}])[-1]
    known: dict[str, Any] = {"epochs_done": 0, "step": 0, "seconds": 0.0}
    if is_finished(last):
        found = read_json(current_location(run.bundle) / MANIFEST, SCHEMA)["metrics"]
        epoch = run.stages.index(found["stage"]) + 1 if run.stages else int(found["epoch"])
        best = BestEvaluation(float(found["top1"]), int(found["n"]), epoch)
        known = {
            "epochs_done": run.recipe["epochs"],
            "step": int(last["step"]),
            "seconds": float(last["seconds"]),
            "best": best,
        }
        return {**known, "state": "done", "note": _("its checkpoints were removed")}
    if not _is_training(run.path) and (not has_first_weights(run) or had_progress(run.path)):
        notes = [_("its checkpoints are gone")]
        notes += [_("train on from its weights with --weights {run}", run=run.path)] if run.bundle.is_dir() else []
        return {**known, "state": "damaged", "note": joined("; ", notes)}
    return {**known, **_unfinished(run, [])}


def _unfinished(run: RunRecord, notes: Sequence[Message]) -> dict[str, Any]:
    """State and note of a run with epochs to go: at work, interrupted or failed."""
    if _is_training(run.path):
        return {"state": "running", "note": joined("; ", notes)}
    last = (last_lines(run.path / METRICS) or [{}])[-1]
    if last.get("event") == "failed":
        return {
            "state": "failed",
            "note": joined("; ", [str(last["reason"]) if "reason" in last else _("the reason is unknown"), *notes]),
        }
    return {"state": "interrupted", "note": joined("; ", notes)}


def _written(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


def _size(folder: Path) -> int:
    """Bytes of all files below; what vanishes or cannot be read meanwhile counts nothing."""
    total = 0
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                total += _size(Path(entry.path))
            else:
                total += entry.stat(follow_symlinks=False).st_size
    except OSError:
        return total
    return total


def _reason(error: Exception) -> Message | str:
    if isinstance(error, PlusxError):
        return error.message
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)
