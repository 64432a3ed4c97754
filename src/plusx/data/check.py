"""What is wrong with a set of images before a network learns it: unreadable, twice there, leaking, odd, uneven."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plusx.data.dataset import Data, with_mode
from plusx.data.indexing import ProgressCallback, map_threaded
from plusx.data.opening import open_data
from plusx.errors import DataError
from plusx.images import decode, traits

_UNEVEN = 10
KINDS = {
    "unreadable": "cannot be decoded or has no label; left out of training",
    "leaks": "the same pixels in train and in val",
    "conflicts": "the same pixels under two classes",
    "duplicates": "the same pixels twice in one class",
    "tiny": "much smaller than the others",
    "cmyk": "stored as CMYK; converted without its colour profile",
    "16-bit": "16 bits a channel; read as 8",
    "rotated": "turned by its EXIF orientation; plusx turns it, other tools may not",
    "imbalance": f"a class with less than a {_UNEVEN}th of the largest one's images",
}
"""What `check` looks for, the worst first."""

Side = Literal["train", "val"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its kind, the images (files or names in the set), and one line more."""

    kind: str
    paths: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class ClassCounts:
    """How many images a class has in each part."""

    name: str
    train: int
    val: int


@dataclass(frozen=True)
class DataReport:
    """What `check` found; `counts` has every kind, 0 included."""

    kind: str
    n_train: int
    n_val: int
    findings: tuple[Finding, ...]
    classes: tuple[ClassCounts, ...]
    tiny_px: float
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        return {kind: sum(finding.kind == kind for finding in self.findings) for kind in KINDS}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `plusx data check --format json` prints them."""
        return {
            "schema": "plusx.data-check/1", "kind": self.kind, "n_train": self.n_train, "n_val": self.n_val,
            "tiny_px": self.tiny_px, "notes": list(self.notes), "counts": self.counts(),
            "findings": [asdict(finding) for finding in self.findings], "classes": [asdict(row) for row in self.classes],
        }  # fmt: skip


@dataclass(frozen=True)
class _CheckedImage:
    """An image: where it belongs, a hash of its upright pixels, its shorter side, how it is stored."""

    side: Side
    path: str
    label: int
    pixels: bytes
    short: int
    odd: tuple[str, ...]


def check(
    where: str | Path,
    *,
    val_split: float = 0.2,
    seed: int = 0,
    tiny_px: int | None = None,
    cache: bool = True,
    progress: ProgressCallback | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
) -> DataReport:
    """Decodes every image of both parts once, and compares. `tiny_px` None: a quarter of the median shorter side.

    duplicates: equal pixels in one class and part; conflicts: in two classes; leaks: in train and val (each group of equal
    images is one finding, under the worst of these). Raises DataError for what cannot be trained on at all.
    """
    splits = open_data(
        where, val_split=val_split, seed=seed, cache=cache, progress=progress, path_column=path_column, label_column=label_column
    )  # fmt: skip
    looks: list[_CheckedImage] = []
    findings = [Finding("unreadable", (row.path,), row.reason) for row in splits.skipped]
    sides: tuple[tuple[Side, Data], ...] = (("train", splits.train), ("val", splits.val))
    for side, data in sides:
        for seen in map_threaded(lambda i, side=side, data=data: _look(side, data, i), range(len(data)), progress):
            if isinstance(seen, Finding):
                findings.append(seen)
            else:
                looks.append(seen)
    limit = float(np.median([look.short for look in looks]) / 4) if tiny_px is None and looks else float(tiny_px or 0)
    classes = splits.train.classes
    findings += _equal(looks, classes)
    findings += [
        Finding("tiny", (look.path,), f"shorter side {look.short} of at least {limit:g} pixels")
        for look in looks
        if look.short < limit
    ]
    findings += [Finding(kind, (look.path,), KINDS[kind]) for look in looks for kind in look.odd]
    counts = zip(classes, splits.train.counts().tolist(), splits.val.counts().tolist(), strict=True)
    balance = tuple(ClassCounts(*row) for row in counts)
    findings += _uneven(balance)
    rank = {kind: i for i, kind in enumerate(KINDS)}
    findings.sort(key=lambda finding: rank[finding.kind])
    return DataReport(
        splits.train.kind, len(splits.train), len(splits.val), tuple(findings), balance, limit, splits.notes
    )


def _look(side: Side, data: Data, i: int) -> _CheckedImage | Finding:
    path = data.path(i)
    try:
        if data.images is not None:
            image, odd = with_mode(data.images[i], "RGB"), ()
        else:
            raw = data.encoded(i)
            image, odd = decode(raw, "RGB"), traits(raw)
    except DataError as error:
        return Finding("unreadable", (path,), str(error))
    shape = "x".join(map(str, image.shape)).encode()
    digest = hashlib.blake2b(shape + b"\0" + image.tobytes(), digest_size=16).digest()
    return _CheckedImage(side, path, int(data.labels[i]), digest, min(image.shape[:2]), odd)


def _equal(looks: Sequence[_CheckedImage], classes: Sequence[str]) -> list[Finding]:
    groups: dict[bytes, list[_CheckedImage]] = {}
    for look in looks:
        groups.setdefault(look.pixels, []).append(look)
    found: list[Finding] = []
    for group in groups.values():
        if len(group) < 2:
            continue
        sides, labels = {look.side for look in group}, sorted({look.label for look in group})
        words = f"{len(group)} with the same pixels"
        named = ", ".join(classes[label] for label in labels[:5])
        if len(sides) > 1:
            words += ", in train and in val" + (f"; classes {named}" if len(labels) > 1 else "")
            kind = "leaks"
        elif len(labels) > 1:
            kind, words = "conflicts", f"{words}; classes {named}"
        else:
            kind = "duplicates"
        found.append(Finding(kind, tuple(look.path for look in group), words))
    return found


def _uneven(balance: Sequence[ClassCounts]) -> list[Finding]:
    most = max(row.train for row in balance)
    return [
        Finding("imbalance", (), f"class {row.name} has {row.train} training images, the largest {most}")
        for row in balance
        if row.train * _UNEVEN < most
    ]
