"""From what a user wrote after --data to training and validation data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from plusx.data.dataset import Data, Skipped, Splits, held_out
from plusx.data.digits import digits
from plusx.data.fashion import BASE_URL, fashion_folder, is_idx_folder, open_idx
from plusx.data.folders import Found, class_folders, find_pictures
from plusx.data.kinds import open_other
from plusx.errors import DataError

Progress = Callable[[int, int], None]  # done, of how many

BUILT_IN = ("digits", "fashion-mnist")
VAL_NAMES = ("val", "valid", "validation", "test")


def cache_dir() -> Path:
    """Where plusx keeps what it can make again: PLUSX_CACHE, else XDG_CACHE_HOME/plusx, else ~/.cache/plusx."""
    if own := os.environ.get("PLUSX_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plusx"


def open_data(
    where: str | Path,
    *,
    val_split: float = 0.2,
    seed: int = 0,
    cache: bool = True,
    progress: Progress | None = None,
    base_url: str = BASE_URL,
) -> Splits:
    """Training and validation data from a built-in name ("digits", "fashion-mnist"), a folder, a file or a pattern.

    A folder holds class folders (a stratified share `val_split` is held out, chosen by `seed`), train/ and val, valid,
    validation or test with class folders, IDX or CIFAR files, Parquet files, tar shards, or train.csv; a file is a
    Parquet file, a tar shard or a CSV list, a pattern ("shards/*.tar") several. Every picture is decoded once, the unreadable are in `skipped`; with
    `cache` the next start only compares sizes and times. `progress(done, total)` may be called from several threads.
    Raises DataError.
    """
    if not 0 < val_split < 1:
        raise DataError(f"val_split={val_split}; a share between 0 and 1, so that both parts hold pictures")
    if where == "digits":
        return digits()
    if where == "fashion-mnist":
        return open_idx(fashion_folder(cache_dir(), base_url, progress), val_split, seed)
    kept = cache_dir() if cache else None
    if (other := open_other(where, kept, progress)) is not None:
        return other.splits(val_split, seed)
    root = _existing(where)
    if is_idx_folder(root):
        return open_idx(root, val_split, seed)
    parts = _parts(root)
    if parts is None:
        found = find_pictures(root, kept, progress)
        _at_least_two(found.classes, root)
        whole = found.data(found.classes, _channels(found))
        out = held_out(whole.names, whole.labels, val_split, seed)
        if not out.any():
            raise DataError(
                f"no class of {root} has two pictures, so none can be held out; add pictures, or train/ and val/"
            )
        train, val = (replace(whole.subset(np.flatnonzero(side)), skipped=()) for side in (~out, out))
        return Splits(train, val, found.skipped, _size_px(found))
    return _two_parts(root, *parts, kept=kept, progress=progress, val_split=val_split, seed=seed)


def open_eval(
    where: str | Path,
    classes: Sequence[str],
    *,
    skip_bad: bool = False,
    val_split: float | None = None,
    seed: int = 0,
    cache: bool = True,
    progress: Progress | None = None,
    base_url: str = BASE_URL,
) -> Data:
    """Data to evaluate a network of `classes` on; labels index them, whatever order the folder has.

    Of data with two parts this is the validation part. Of plain class folders it is every picture, unless `val_split`
    and `seed` say which share a training run held out. A picture that cannot be read is an error, or with `skip_bad`
    a row in `.skipped`. A class that the network lacks is an error; one that the data lack is not. Raises DataError.
    """
    kept = cache_dir() if cache else None
    if where not in BUILT_IN and (other := open_other(where, kept, progress)) is not None:
        return _relabelled(_whole(other.evaluated(val_split, seed), skip_bad), tuple(classes), str(where))
    if where in BUILT_IN or is_idx_folder(_existing(where)):
        share = 0.2 if val_split is None else val_split
        data = open_data(where, val_split=share, seed=seed, progress=progress, base_url=base_url).val
        return _relabelled(data, tuple(classes), str(where))
    root = _existing(where)
    parts = _parts(root)
    if val_split is not None and (parts is None or parts[1] is None):
        splits = open_data(root, val_split=val_split, seed=seed, cache=cache, progress=progress)
        data = replace(splits.val, skipped=splits.skipped)
    else:
        part = root if parts is None else (parts[1] or parts[0])
        found = find_pictures(part, kept, progress)
        data = found.data(found.classes, _channels(found))
    return _relabelled(_whole(data, skip_bad), tuple(classes), str(where))


def _whole(data: Data, skip_bad: bool) -> Data:
    """The data, of which no picture may be left out unless `skip_bad`. Raises DataError."""
    if data.skipped and not skip_bad:
        raise DataError(
            f"{len(data.skipped)} pictures cannot be evaluated (first: {_line(data.skipped[0])}); mend or remove them,"
            " or leave them out with --skip-bad"
        )
    return data


def _existing(where: str | Path) -> Path:
    root = Path(where).expanduser()
    if not root.exists():
        raise DataError(f"no such data ({where}); a folder, or one of: {', '.join(BUILT_IN)}")
    if not root.is_dir():
        raise DataError(f"{where} is not a folder, nor a Parquet, tar or CSV file; --data takes one of these")
    return root


def _parts(root: Path) -> tuple[Path, Path | None] | None:
    """(train, val or None) when `root` is laid out in parts; None when its folders are the classes themselves."""
    folders = class_folders(root)
    val = next((root / name for name in VAL_NAMES if name in folders), None)
    if "train" in folders and class_folders(root / "train"):
        return root / "train", val
    if val is not None and set(folders) <= set(VAL_NAMES) and class_folders(val):
        return root / "train", val
    return None


def _two_parts(
    root: Path,
    train_at: Path,
    val_at: Path | None,
    *,
    kept: Path | None,
    progress: Progress | None,
    val_split: float,
    seed: int,
) -> Splits:
    if not train_at.is_dir():
        raise DataError(
            f"{root} has {val_at.name if val_at else 'parts'}/ but no train/; put the training pictures there"
        )
    if val_at is None:
        return open_data(train_at, val_split=val_split, seed=seed, cache=kept is not None, progress=progress)
    train, val = class_folders(train_at), class_folders(val_at)
    _at_least_two(train, train_at)
    if train != val:
        only = {"train": sorted(set(train) - set(val)), val_at.name: sorted(set(val) - set(train))}
        words = "; ".join(f"only in {part}: {', '.join(names[:5])}" for part, names in only.items() if names)
        raise DataError(f"train and {val_at.name} of {root} differ in classes ({words}); give both the same folders")
    found, held = (find_pictures(part, kept, progress) for part in (train_at, val_at))
    channels = _channels(found, held)
    skipped = (*found.skipped, *held.skipped)
    train_data, val_data = (replace(f.data(found.classes, channels), skipped=()) for f in (found, held))
    return Splits(train_data, val_data, skipped, _size_px(found))


def _at_least_two(classes: Sequence[str], root: Path) -> None:
    if len(classes) < 2:
        raise DataError(f"one class ({classes[0] if classes else 'none'}) in {root}; at least 2 are needed")


def _channels(*parts: Found) -> int:
    return 1 if all(entry.grey for part in parts for entry in part.entries) else 3


def _size_px(found: Found) -> int:
    return int(np.median([min(entry.width, entry.height) for entry in found.entries]))


def _relabelled(data: Data, classes: tuple[str, ...], where: str) -> Data:
    if data.classes == classes:
        return data
    present = [name for name, n in zip(data.classes, data.counts(), strict=True) if n]
    strange = [name for name in present if name not in classes]
    if strange:
        known = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
        raise DataError(f"{where} has class {strange[0]!r}, which the network was not trained for; it knows: {known}")
    index = {name: i for i, name in enumerate(classes)}
    table = np.array([index.get(name, -1) for name in data.classes], dtype=np.int64)
    return replace(data, classes=classes, labels=table[data.labels])


def _line(row: Skipped) -> str:
    return f"{row.path}: {row.reason}"
