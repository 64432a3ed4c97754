"""From what a user wrote after --data to training and validation data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from plusx.data.dataset import Data, Splits
from plusx.data.detection import find_parts
from plusx.data.digits import digits
from plusx.data.fashion import BASE_URL, fashion_folder, open_idx
from plusx.data.indexing import ProgressCallback
from plusx.data.list_columns import ColumnNames
from plusx.data.parts import DataParts
from plusx.errors import DataError
from plusx.i18n import _, _n
from plusx.settings import cache_dir


def open_data(
    where: str | Path,
    *,
    val_split: float = 0.2,
    seed: int = 0,
    cache: bool = True,
    progress: ProgressCallback | None = None,
    base_url: str = BASE_URL,
    path_column: str | None = None,
    label_column: str | None = None,
) -> Splits:
    """Training and validation data from a built-in name ("digits", "fashion-mnist"), a folder, a file or a pattern.

    A folder holds class folders (a stratified share `val_split` is held out, chosen by `seed`), train/ and val, valid,
    validation or test with class folders, IDX or CIFAR files, Parquet files, tar shards, or train.csv; a file is a
    Parquet file, a tar shard or a CSV list, a pattern ("shards/*.tar") several (docs/data.md). Every image is decoded
    once, the unreadable are in `skipped`; with `cache` the next start only compares sizes and times.
    `path_column` and `label_column` name the columns of a CSV list where its header leaves them open; what was decided is
    in `notes`. `progress(done, total)` may be called from several threads. Raises DataError.
    """
    if not 0 < val_split < 1:
        raise DataError(
            _(
                "val_split={val_split} leaves one part without images. Give a share between 0 and 1.",
                val_split=val_split,
            )
        )
    if where == "digits":
        _require_none(ColumnNames(path_column, label_column), where)
        return digits()
    return _parts(where, cache, progress, base_url, ColumnNames(path_column, label_column)).splits(val_split, seed)


def open_eval(
    where: str | Path,
    classes: Sequence[str],
    *,
    skip_bad: bool = False,
    val_split: float | None = None,
    seed: int = 0,
    cache: bool = True,
    progress: ProgressCallback | None = None,
    base_url: str = BASE_URL,
    path_column: str | None = None,
    label_column: str | None = None,
) -> Data:
    """Data to evaluate a network of `classes` on; labels index them, whatever order the data have.

    Of data with two parts this is the validation part. Of one part it is every image, unless `val_split` and `seed`
    say which share a training run held out. An image that cannot be read is an error, or with `skip_bad`
    a row in `.skipped`. A class that the network lacks is an error; one that the data lack is not. Raises DataError.
    """
    if where == "digits":
        _require_none(ColumnNames(path_column, label_column), where)
        data = digits().val
    else:
        data = _whole(
            _parts(where, cache, progress, base_url, ColumnNames(path_column, label_column)).evaluated(val_split, seed),
            skip_bad,
        )
    return _relabelled(data, tuple(classes), str(where))


def _parts(
    where: str | Path, cache: bool, progress: ProgressCallback | None, base_url: str, columns: ColumnNames
) -> DataParts:
    if where == "fashion-mnist":
        _require_none(columns, where)
        return open_idx(fashion_folder(cache_dir(), base_url, progress))
    return find_parts(where, cache_dir() if cache else None, progress, columns)


def _require_none(columns: ColumnNames, where: str | Path) -> None:
    if columns:
        raise DataError(
            _(
                "{where} is not a CSV list, so it has no columns to name. Leave out --path-column and --label-column.",
                where=where,
            )
        )


def _whole(data: Data, skip_bad: bool) -> Data:
    """The data, of which no image may be skipped unless `skip_bad`. Raises DataError."""
    if data.skipped and not skip_bad:
        first, n = data.skipped[0], len(data.skipped)
        raise DataError(
            _n(
                "1 image cannot be evaluated: {path} ({reason}). Repair or remove it, or skip it with --skip-bad.",
                "{n} images cannot be evaluated. The first is {path}: {reason}. Repair or remove them, or skip them with --skip-bad.",
                n, path=first.path, reason=first.reason,
            )
        )  # fmt: skip
    return data


def _relabelled(data: Data, classes: tuple[str, ...], where: str) -> Data:
    if data.classes == classes:
        return data
    present = [name for name, n in zip(data.classes, data.counts(), strict=True) if n]
    strange = [name for name in present if name not in classes]
    if strange:
        known = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
        raise DataError(
            _(
                "{where} has the class {strange!r}, which the network was not trained for. Rename or remove it. The network has: {known}.",
                where=where,
                strange=strange[0],
                known=known,
            )
        )
    index = {name: i for i, name in enumerate(classes)}
    table = np.array([index.get(name, -1) for name in data.classes], dtype=np.int64)
    return replace(data, classes=classes, labels=table[data.labels])
