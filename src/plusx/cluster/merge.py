"""Parts become one file, or a Parquet data set; memory does not grow with their number of rows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from plusx.cluster.addresses import split_address
from plusx.cluster.input_list import NamesHash
from plusx.cluster.manifests import JobIdentity
from plusx.cluster.part_rows import PredictedRow, read_rows, row_writer
from plusx.cluster.places import StoredPart, checked_file
from plusx.cluster.proof import CheckedParts
from plusx.cluster.stores import LocalStore, claimed, store_at
from plusx.errors import BundleError, DataError
from plusx.i18n import _
from plusx.runtime.output_files import not_writable

FILE_ROWS = 1_000_000
"""Rows of each file of a data set."""
FORMATS = {"predict": (".csv", ".jsonl", ".parquet"), "embed": (".npy", ".parquet")}
SUCCESS = "_SUCCESS"


@dataclass(frozen=True)
class MergeResult:
    rows: int
    unreadable: int
    files: int


def merge(
    checked: CheckedParts, output: str | None, on_row: Callable[[PredictedRow], Any] | None = None
) -> MergeResult:
    """Writes the rows of all parts in the order of the inputs; with `output` None they are only read and checked.

    A name of the formats is one file; any other is a folder, a data set of Parquet files of FILE_ROWS rows each. Either
    appears when everything was checked: the hash of each part's files, and that the names of all rows are, in order, those
    of the inputs. Raises BundleError for damaged parts, DataError, RunError.
    """
    with contextlib.closing(_checked_rows(checked)) as found:
        rows = found if on_row is None else (_told(row, on_row) for row in found)
        if output is None:
            return MergeResult(sum(1 for _row in rows), checked.unreadable, 0)
        if Path(output).suffix.lower() in FORMATS[checked.job.command]:
            return _one_file(checked, rows, output)
        return _data_set(checked, rows, output)


def _told(row: PredictedRow, on_row: Callable[[PredictedRow], Any]) -> PredictedRow:
    on_row(row)
    return row


def _one_file(checked: CheckedParts, rows: Iterator[PredictedRow], output: str) -> MergeResult:
    folder, name = split_address(output)
    store = store_at(folder)
    with claimed(store, f".{name}.lock", output), store.scratch() as scratch:
        form = Path(name).suffix.lower()[1:]
        n = _write(checked.job, rows, scratch / name, form)
        for written in sorted(scratch.iterdir()):
            store.put(written.name, written)
    return MergeResult(n, checked.unreadable, 1)


def _data_set(checked: CheckedParts, rows: Iterator[PredictedRow], output: str) -> MergeResult:
    """The files of a data set. On this machine the folder appears as a whole; in an object store _SUCCESS comes last."""
    remote = store_at(output)
    local = isinstance(remote, LocalStore)
    parent, name = split_address(output.rstrip("/"))
    if any(not each.startswith(".") for each in remote.names()) or (
        local and Path(output).exists() and any(Path(output).iterdir())
    ):
        raise DataError(
            _(
                "{path} is not empty. Name a new folder, or a file that ends in .csv, .jsonl, .npy or .parquet.",
                path=output,
            )
        )
    above = store_at(parent) if local else remote
    n = files = 0
    with claimed(above, f".{name}.lock", output), above.scratch() as scratch:
        folder = scratch / name if local else scratch
        folder.mkdir(exist_ok=True)
        for first in rows:
            path = folder / f"rows-{n:012d}.parquet"
            n += _write(checked.job, chain([first], islice(rows, FILE_ROWS - 1)), path, "parquet")
            files += 1
            if not local:
                remote.put(path.name, path)
                path.unlink()
        (folder / SUCCESS).write_text(json.dumps({"schema": "plusx.rows/1", "rows": n}) + "\n")
        if local:
            _appear(folder, Path(output))
        else:
            remote.put(SUCCESS, folder / SUCCESS)
    return MergeResult(n, checked.unreadable, files)


def _appear(folder: Path, target: Path) -> None:
    for written in folder.iterdir():
        LocalStore(folder).put(written.name, written)  # durable before the folder has its name
    try:
        if target.is_dir():
            target.rmdir()
        folder.replace(target)
    except OSError as error:
        raise not_writable(target, error) from error


def _write(job: JobIdentity, rows: Iterator[PredictedRow], path: Path, form: str) -> int:
    n = 0
    with row_writer(job, path, form) as out:
        for row in rows:
            out.write(row)
            n += 1
    return n


def _checked_rows(checked: CheckedParts) -> Generator[PredictedRow, None, None]:
    """The rows of all parts. Raises BundleError, at the latest at the end, where they are not those that were written."""
    names = NamesHash()
    for part in checked.parts:
        before = names.n
        for row in _rows_of(part):
            names.add(row.path)
            yield row
        if names.n - before != part.manifest.stop - part.manifest.start:
            raise BundleError(
                _(
                    "{path} tells of {said} rows, but {n} are there. Remove it, and compute the part again.",
                    path=part.address, said=part.manifest.stop - part.manifest.start, n=names.n - before,
                )
            )  # fmt: skip
    if names.hexdigest() != checked.job.inputs_sha256:
        raise BundleError(
            _("The names of the rows are not those of the inputs, or in another order. Compute the parts again.")
        )


def _rows_of(part: StoredPart) -> Iterator[PredictedRow]:
    with contextlib.ExitStack() as stack:
        files = {}
        for name in part.manifest.files:
            try:
                path = stack.enter_context(part.store.local(name))
                files[Path(name).suffix] = checked_file(part, name, path)
            except FileNotFoundError:
                raise BundleError(
                    _(
                        "{path} is missing, but {manifest} names it. Remove the manifest, and compute the part again.",
                        path=f"{part.store.address}/{name}", manifest=part.address,
                    )
                ) from None  # fmt: skip
        yield from read_rows(part.manifest.job, files)
