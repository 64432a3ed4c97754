"""One set of images out of several shards: each is listed, its images are decoded once, and the index is stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plusx.data.dataset import Skipped
from plusx.data.indexing import (
    ImageIndex,
    ProgressCallback,
    digest_of,
    index_path,
    load_index,
    map_threaded,
    save_index,
)
from plusx.data.packed import FileStamp, Packed, change_stamp, concatenated
from plusx.data.parts import LabelledPart
from plusx.errors import DataError
from plusx.i18n import Message, _
from plusx.i18n.stored import loaded_message, stored_message
from plusx.images import Probe, probe


@dataclass(frozen=True)
class ShardListing:
    """The images of a shard before they are decoded. Their bytes are in `file`, the shard or its pack."""

    file: Path
    names: list[str]
    labels: list[str]
    starts: list[int]
    sizes: list[int]
    skipped: list[Skipped]
    classes: tuple[str, ...] | None = None

    def add(self, name: str, label: str, start: int, size: int) -> None:
        self.names.append(name)
        self.labels.append(label)
        self.starts.append(start)
        self.sizes.append(size)


ShardLister = Callable[[Path, Path | None], ShardListing]  # of a shard, with the cache


def stamp_of(path: Path) -> FileStamp:
    """Size and time of a file. Raises DataError."""
    return FileStamp.of(_stat(path))


def _stat(path: Path) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise DataError(
            _("{path} cannot be read ({reason}). Check its name and permissions.", path=path, reason=error.strerror)
        ) from error


def shard_part(
    kind: str,
    paths: Sequence[Path],
    lister: ShardLister,
    cache: Path | None,
    progress: ProgressCallback | None,
    where: Message | str,
) -> LabelledPart:
    """The images of shards, in the order of shards and of what lies in them. Raises DataError."""
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    names: list[str] = []
    columns: dict[str, list[Any]] = {"labels": [], "digests": [], "sides": []}
    packed, skipped, declared, grey = [], [], set(), True
    for path in (path.absolute() for path in paths):
        seen, bytes_at = _shard(kind, path, lister, cache, progress)
        prefix = f"{path.relative_to(root).as_posix()}/"
        names += [prefix + name for name in seen.columns["names"]]
        for key, column in columns.items():
            column += seen.columns[key]
        skipped += [Skipped(f"{path}/{name}", loaded_message(why)) for name, why in seen.about["skipped"]]
        declared.add(None if seen.about["classes"] is None else tuple(seen.about["classes"]))
        grey = grey and all(seen.columns["grey"])
        packed.append(bytes_at)
    if len(declared) > 1:
        raise DataError(
            _("The shards of {where} declare different classes. Name the shards of one data set.", where=where)
        )
    return LabelledPart(
        kind, where, tuple(names), tuple(columns["labels"]), np.array(columns["sides"], np.int64),
        columns["digests"], 1 if grey else 3, declared.pop(),
        packed=concatenated(packed), root=root, skipped=tuple(skipped),
    )  # fmt: skip


def _shard(
    kind: str, path: Path, lister: ShardLister, cache: Path | None, progress: ProgressCallback | None
) -> tuple[ImageIndex, Packed]:
    stamp = change_stamp(_stat(path))
    at = None if cache is None else index_path(cache, kind, path)
    seen = None if at is None else load_index(at)
    if seen is None or seen.about["stamp"] != stamp or not _has_pack(seen):
        seen = _look(lister(path, cache), stamp, progress)
        if at is not None:
            save_index(at, seen)
    return seen, _in_one(Path(seen.about["file"]), seen.columns["starts"], seen.columns["sizes"])


def _has_pack(seen: ImageIndex) -> bool:
    """Whether the file with the images is still the one that was indexed; a pack may have been deleted from the cache."""
    try:
        return change_stamp(os.stat(seen.about["file"])) == seen.about["file_stamp"]
    except OSError:
        return False


def _in_one(file: Path, starts: Sequence[int], sizes: Sequence[int]) -> Packed:
    columns = (np.zeros(len(starts), np.int64), np.array(starts, np.int64), np.array(sizes, np.int64))
    return Packed((file,), (stamp_of(file),), *columns)


def _look(listing: ShardListing, stamp: list[int], progress: ProgressCallback | None) -> ImageIndex:
    """Every image of a listing, decoded once (small)."""
    packed = _in_one(listing.file, listing.starts, listing.sizes)

    def one(i: int) -> tuple[Probe, str] | Message:
        try:
            raw = packed.read(i)
            return probe(raw), digest_of(raw)
        except DataError as error:
            return error.message

    answers = map_threaded(one, range(len(listing.names)), progress)
    good = [(i, *answer) for i, answer in enumerate(answers) if isinstance(answer, tuple)]
    bad = [[listing.names[i], stored_message(answer)] for i, answer in enumerate(answers) if isinstance(answer, str)]
    columns = {
        "names": [listing.names[i] for i, _probe, _digest in good],
        "labels": [listing.labels[i] for i, _probe, _digest in good],
        "starts": [listing.starts[i] for i, _probe, _digest in good],
        "sizes": [listing.sizes[i] for i, _probe, _digest in good],
        "digests": [digest for _i, _probe, digest in good],
        "sides": [min(answer.width, answer.height) for _i, answer, _digest in good],
        "grey": [answer.grey for _i, answer, _digest in good],
    }
    about = {
        "stamp": stamp,
        "file": str(listing.file),
        "file_stamp": change_stamp(_stat(listing.file)),
        "classes": None if listing.classes is None else list(listing.classes),
        "skipped": [*bad, *([row.path, stored_message(row.reason)] for row in listing.skipped)],
    }
    return ImageIndex(columns, about)
