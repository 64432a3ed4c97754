"""A run on disk: run.json, metrics.jsonl, skipped.csv, mistakes.json, report.html, checkpoints/step-00001234/, bundle/."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plusx.bundles.atomic import (
    Json,
    NewerFormatError,
    current_location,
    disk_error,
    read_manifest,
    read_sealed,
    remove_dir,
    remove_leftovers,
    restore_old,
    sealed_bytes,
    write_dir,
    write_file,
)
from plusx.bundles.records import RunRecord
from plusx.bundles.run_place import CHECKPOINTS, FIRST_BUNDLE, RUN_FILE, check_output_dir, is_unbegun
from plusx.bundles.snapshot import OpenFiles
from plusx.errors import BundleError, PlusxError, RunError
from plusx.files import json_text
from plusx.i18n import _

RUN_SCHEMA = "plusx.run/1"
CHECKPOINT_SCHEMA = "plusx.checkpoint/1"
CHECKPOINT_MANIFEST = "manifest.json"
METRICS = "metrics.jsonl"


def start_run(path: str | Path, fields: Mapping[str, Any]) -> Path:
    """Make the run directory and write run.json ("schema", "began", the time in UTC, and its own hash are added).

    `fields`: command, spec, recipe, data {kind, fingerprint, classes, n}, seed, versions. What else a run begins with is
    there already: a directory without run.json is no run. Who calls holds the run's lock where others may train. Raises
    BundleError when `path` holds a run or anything else, and RunError.
    """
    path = Path(path)
    check_output_dir(path, locked=True)
    content = {"schema": RUN_SCHEMA, "began": datetime.now(UTC).isoformat(timespec="seconds"), **fields}
    try:
        (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(path, error) from error
    write_file(path / RUN_FILE, sealed_bytes(content))
    return path


def read_run(path: str | Path) -> RunRecord:
    """The run at `path`. Raises BundleError: no run there, damaged, or newer than this plusx."""
    path = Path(path)
    if not (path / RUN_FILE).is_file():
        if path.is_dir() and is_unbegun(path):
            raise BundleError(_("The run {path} was killed before it began. Run its command again.", path=path))
        raise BundleError(_("There is no run at {path}. Give a folder with {file}.", path=path, file=RUN_FILE))
    found = read_sealed(path / RUN_FILE, RUN_SCHEMA)
    try:
        return RunRecord.from_dict(path, found)
    except KeyError as error:
        raise BundleError(
            _("{path} lacks {key}. Use another copy.", path=path / RUN_FILE, key=error.args[0])
        ) from error
    except PlusxError as error:
        raise BundleError(_("{path} cannot be used. {reason}", path=path / RUN_FILE, reason=error.message)) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            _("{path} has an invalid value of {key}. Use another copy.", path=path / RUN_FILE, key=error)
        ) from error


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Add one JSON object as a line to metrics.jsonl. Raises RunError when the disk is full or refuses."""
    line = f"{json_text(row)}\n".encode()
    try:
        with path.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end:  # a kill may have cut the last line; it must not swallow this one
                file.seek(end - 1)
                line = line if file.read(1) == b"\n" else b"\n" + line
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise disk_error(path, error) from error


def read_lines(path: Path) -> Iterator[Json]:
    """The objects of a .jsonl file; a line that a kill cut short is skipped."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        yield from _rows(file)


def last_lines(path: Path, most_bytes: int = 1 << 14) -> list[Json]:
    """The objects in the last bytes of a .jsonl file, however long it is; none when there is no file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        return list(_rows(file))  # the first line may be the end of one: no JSON, or no object


def _rows(lines: Iterable[bytes]) -> Iterator[Json]:
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


def write_skipped(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """skipped.csv: path, reason. Raises RunError."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "reason"))
    writer.writerows(rows)
    write_file(path, text.getvalue().encode("utf-8", "surrogateescape"))


def write_checkpoint_dir(
    parent: str | Path, name: str, files: Mapping[str, bytes], fields: Mapping[str, Any] | None = None
) -> Path:
    """Write checkpoint `parent`/`name` ("step-00001234") durably, manifest.json included; returns its path.

    `fields` go into the manifest beside "schema" and "files". Raises RunError; other checkpoints are never touched.
    """
    target = Path(parent) / name
    write_dir(target, CHECKPOINT_MANIFEST, {"schema": CHECKPOINT_SCHEMA, **(fields or {})}, files)
    return target


def read_checkpoint_dir(path: str | Path) -> dict[str, bytes]:
    """File name → bytes of a checkpoint, sizes and hashes checked. Raises BundleError that says what is damaged."""
    files = _open_checkpoint(Path(path))
    return {name: files.read(name) for name in files.files}


def _open_checkpoint(path: Path) -> OpenFiles:
    where = current_location(path)
    return OpenFiles(where, read_manifest(where, CHECKPOINT_MANIFEST, CHECKPOINT_SCHEMA)["files"])


def checkpoint_names(parent: str | Path) -> list[str]:
    """Names of the checkpoint directories in `parent`, oldest first; those half written are not among them."""
    parent = Path(parent)
    if not parent.is_dir():
        return []
    return sorted(p.name for p in parent.iterdir() if p.is_dir() and p.name.startswith("step-"))


def restore_replaced(parent: Path) -> None:
    """Puts back the checkpoints whose writer was killed while it replaced them. Only who resumes the run may do so."""
    for name in _set_aside(parent):
        restore_old(parent / name)


def _set_aside(parent: Path) -> list[str]:
    return [old.name[1 : -len(".old")] for old in parent.glob(".step-*.old")] if parent.is_dir() else []


def newest_complete(parent: str | Path, on_damage: Callable[[str], None] | None = None) -> Path | None:
    """The newest checkpoint in `parent` that is complete, or None; `on_damage` gets a line for each newer one that is not.

    A checkpoint in a newer plusx's format is an error (BundleError), not damage: going back silently would lose steps. One
    that a training removes meanwhile is no damage. Nothing is changed on disk: `read_checkpoint_dir` finds one whose writer
    was killed while it replaced it.
    """
    parent = Path(parent)
    for name in sorted({*checkpoint_names(parent), *_set_aside(parent)}, reverse=True):
        path = parent / name
        try:
            _open_checkpoint(path).check()
        except BundleError as error:
            if isinstance(error, NewerFormatError):
                raise
            if on_damage is not None and current_location(path).is_dir():
                on_damage(_("Checkpoint {name} is skipped. {reason}", name=name, reason=error.message))
            continue
        return path
    return None


def newest_checkpoint(run: str | Path, on_damage: Callable[[str], None] | None = None) -> Path | None:
    """The newest complete checkpoint of the run at `run`, or None. See newest_complete."""
    return newest_complete(Path(run) / CHECKPOINTS, on_damage)


def prune_checkpoints(parent: str | Path, keep: int, spare: Container[str] = ()) -> list[str]:
    """Remove all but the newest `keep` checkpoints and those named in `spare`; returns the names removed.

    The newest is always kept; what writers that were killed left half written goes too, for a resumed run may write
    other steps and never meet it. Raises RunError when the disk refuses.
    """
    parent = Path(parent)
    if keep < 1:
        raise RunError(_("{keep} checkpoints cannot be kept. Keep at least 1.", keep=keep))
    gone = [name for name in checkpoint_names(parent)[:-keep] if name not in spare]
    for name in gone:
        remove_dir(parent / name)
    remove_leftovers(parent, "step-*")
    return gone


def has_first_weights(run: RunRecord) -> bool:
    """Whether the run can be trained from its first step without a checkpoint: its seed makes its weights, or they are kept."""
    return run.first_weights is None or (bool(run.stages) and current_location(run.checkpoints / FIRST_BUNDLE).is_dir())


def had_progress(run: Path) -> bool:
    """Whether a checkpoint of the run was ever complete, as far as its log and its other files tell.

    A bundle alone says nothing: it is written before the checkpoint that records it, and a kill may come between.
    """
    metrics = run / METRICS
    if checkpoint_names(run / CHECKPOINTS):
        return True
    for row in read_lines(metrics):
        if row.get("event") in ("checkpointed", "stage") or (row.get("event") == "finished" and row.get("step") != 0):
            return True
    return current_location(run / "bundle").is_dir() and not metrics.is_file()


def is_finished(last: Mapping[str, Any]) -> bool:
    """Whether the last line of a run's log says that the training came to its end."""
    return last.get("event") == "finished" and last.get("reason") in ("done", "early stop")
