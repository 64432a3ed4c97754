"""The rows of a part in each format: written by the writers of predict and embed, and read back one by one."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from plusx.cluster.manifests import JobIdentity
from plusx.errors import BundleError
from plusx.i18n import _
from plusx.runtime.embedding import Embedding
from plusx.runtime.predicting import Prediction
from plusx.runtime.prediction_files import PredictionWriter
from plusx.runtime.rows import parse_row, whole_records
from plusx.runtime.vector_files import NpyVectors, ParquetVectors

PredictedRow = Prediction | Embedding
FORMATS = {"predict": ("jsonl", "csv", "parquet"), "embed": ("parquet", "npy")}
"""The formats of each command's parts, the one of a folder first."""


class RowWriter(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, row: Any) -> None: ...


def row_writer(job: JobIdentity, path: Path, form: str) -> RowWriter:
    """A writer of the job's rows into a file of that format. Raises MissingExtra, DataError."""
    if job.command == "predict":
        return PredictionWriter.created(str(path), form, job.top or 1)
    return (NpyVectors if form == "npy" else ParquetVectors)(path, job.width or 1)


def read_rows(job: JobIdentity, files: Mapping[str, Path]) -> Iterator[PredictedRow]:
    """The rows of a part, given its files by suffix. Raises BundleError for other content."""
    path = files.get(f".{job.form}") or next(iter(files.values()))
    try:
        if job.form == "npy":
            yield from _npy_rows(files[".npy"], files[".csv"])
        elif job.form == "parquet":
            yield from _parquet_rows(job, path)
        else:
            for number, (text, _end) in enumerate(whole_records(path, job.form)):
                if number or job.form != "csv":
                    yield parse_row(text, job.form)
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise BundleError(_("{path} holds other rows than plusx writes. Compute the part again.", path=path)) from error


def _parquet_rows(job: JobIdentity, path: Path) -> Iterator[PredictedRow]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(512):
            for row in batch.to_pylist():
                if job.command == "embed":
                    vector = None if row["vector"] is None else np.asarray(row["vector"], np.float32)
                    yield Embedding(row["path"], row["error"], vector)
                else:
                    top = [(row[f"class{i}"], row[f"p{i}"]) for i in range(1, (job.top or 1) + 1)]
                    yield Prediction(row["path"], row["error"], tuple(pair for pair in top if pair[0] is not None))


def _npy_rows(vectors: Path, names: Path) -> Iterator[PredictedRow]:
    array = np.load(vectors, mmap_mode="r", allow_pickle=False)
    for number, (text, _end) in enumerate(whole_records(names, "csv")):
        if number:
            name, error = next(csv.reader([text], strict=True))
            yield Embedding(name, error or None, None if error else np.array(array[number - 1]))
