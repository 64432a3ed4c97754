"""One set of images out of several shards: each is listed, its images looked at once, what was seen is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plusx.data.dataset import Skipped
from plusx.data.indexing import Progress, Seen, each, keep, place, recall
from plusx.data.packed import Packed, Stamp, joined
from plusx.data.parts import Part
from plusx.errors import DataError
from plusx.images import Probe, probe


@dataclass(frozen=True)
class Listing:
    """What a shard says of its images before they are looked at. Bytes lie in `file`, the shard or its pack."""

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


Lister = Callable[[Path, Path | None], Listing]  # of a shard, with the cache


def stamp_of(path: Path) -> Stamp:
    """Size and time of a file. Raises DataError."""
    try:
        return Stamp.of(os.stat(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check name and permissions") from error


def shard_part(
    kind: str, paths: Sequence[Path], lister: Lister, cache: Path | None, progress: Progress | None, where: str
) -> Part:
    """The images of shards, in the order of shards and of what lies in them. Raises DataError."""
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    names: list[str] = []
    columns: dict[str, list[Any]] = {"labels": [], "sizes": [], "sides": []}
    packed, skipped, declared, grey = [], [], set(), True
    for path in (path.absolute() for path in paths):
        seen, bytes_at = _shard(kind, path, lister, cache, progress)
        prefix = f"{path.relative_to(root).as_posix()}/"
        names += [prefix + name for name in seen.columns["names"]]
        for key, column in columns.items():
            column += seen.columns[key]
        skipped += [Skipped(f"{path}/{name}", why) for name, why in seen.about["skipped"]]
        declared.add(None if seen.about["classes"] is None else tuple(seen.about["classes"]))
        grey = grey and all(seen.columns["grey"])
        packed.append(bytes_at)
    if len(declared) > 1:
        raise DataError(f"the shards of {where} declare different classes; they belong to different sets")
    return Part(
        kind, where, tuple(names), tuple(columns["labels"]), np.array(columns["sides"], np.int64),
        np.array(columns["sizes"], np.int64), 1 if grey else 3, declared.pop(),
        packed=joined(packed), root=root, skipped=tuple(skipped),
    )  # fmt: skip


def _shard(kind: str, path: Path, lister: Lister, cache: Path | None, progress: Progress | None) -> tuple[Seen, Packed]:
    stamp = stamp_of(path)
    at = None if cache is None else place(cache, kind, path)
    seen = None if at is None else recall(at)
    # a pack may have been swept from the cache
    if (
        seen is None
        or seen.about.get("stamp") != [stamp.size, stamp.mtime_ns]
        or not os.path.isfile(seen.about["file"])
    ):
        seen = _look(lister(path, cache), stamp, progress)
        if at is not None:
            keep(at, seen)
    return seen, _in_one(Path(seen.about["file"]), seen.columns["starts"], seen.columns["sizes"])


def _in_one(file: Path, starts: Sequence[int], sizes: Sequence[int]) -> Packed:
    columns = (np.zeros(len(starts), np.int64), np.array(starts, np.int64), np.array(sizes, np.int64))
    return Packed((file,), (stamp_of(file),), *columns)


def _look(listing: Listing, stamp: Stamp, progress: Progress | None) -> Seen:
    """Every image of a listing, decoded once (small)."""
    packed = _in_one(listing.file, listing.starts, listing.sizes)

    def one(i: int) -> Probe | str:
        try:
            return probe(packed.read(i))
        except DataError as error:
            return str(error)

    answers = each(one, range(len(listing.names)), progress)
    good = [(i, answer) for i, answer in enumerate(answers) if isinstance(answer, Probe)]
    bad = [[listing.names[i], answer] for i, answer in enumerate(answers) if isinstance(answer, str)]
    columns = {
        "names": [listing.names[i] for i, _ in good],
        "labels": [listing.labels[i] for i, _ in good],
        "starts": [listing.starts[i] for i, _ in good],
        "sizes": [listing.sizes[i] for i, _ in good],
        "sides": [min(answer.width, answer.height) for _, answer in good],
        "grey": [answer.grey for _, answer in good],
    }
    about = {
        "stamp": [stamp.size, stamp.mtime_ns],
        "file": str(listing.file),
        "classes": None if listing.classes is None else list(listing.classes),
        "skipped": [*bad, *([row.path, row.reason] for row in listing.skipped)],
    }
    return Seen(columns, about)
