"""Problems of a data set, found before training: unreadable and duplicate images, leaks, odd formats, imbalance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from plusx.data.dataset import Data, Splits, with_mode
from plusx.data.indexing import ProgressCallback, map_threaded
from plusx.data.opening import open_data
from plusx.errors import DataError
from plusx.i18n import Message, _
from plusx.images import decode, traits

_UNEVEN = 10
KINDS: dict[str, Message] = {
    "unreadable": _("cannot be decoded or has no label; training skips it"),
    "leaks": _("the same pixels in train and in val"),
    "conflicts": _("the same pixels under two classes"),
    "duplicates": _("the same pixels twice in one class"),
    "tiny": _("much smaller than the others"),
    "cmyk": _("stored as CMYK; converted without its colour profile"),
    "16-bit": _("16 bits a channel; read as 8"),
    "rotated": _("has an EXIF orientation; plusx applies it, other tools may not"),
    "imbalance": _("a class with less than a tenth of the images of the largest"),
}
"""What `check` looks for, the worst first."""

Side = Literal["train", "val"]


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its kind, the images (files or names in the set), and one line more."""

    kind: str
    paths: tuple[str, ...]
    note: Message | str


@dataclass(frozen=True)
class ClassCounts:
    """How many images a class has in each part."""

    name: str
    train: int
    val: int


@dataclass(frozen=True)
class DataReport:
    """What `check` found; `counts` has every kind of `kinds`, 0 included."""

    kind: str
    n_train: int
    n_val: int
    findings: tuple[Finding, ...]
    classes: tuple[ClassCounts, ...]
    tiny_px: float
    notes: tuple[Message, ...] = ()
    kinds: Mapping[str, Message] = field(default_factory=lambda: KINDS)
    """What was looked for."""

    def counts(self) -> dict[str, int]:
        return {kind: sum(finding.kind == kind for finding in self.findings) for kind in self.kinds}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `plusx data check --format json` prints them."""
        return {
            "schema": "plusx.data-check/1", "kind": self.kind, "n_train": self.n_train, "n_val": self.n_val,
            "tiny_px": self.tiny_px, "notes": list(self.notes), "counts": self.counts(),
            "findings": [asdict(finding) for finding in self.findings], "classes": [asdict(row) for row in self.classes],
        }  # fmt: skip


@dataclass(frozen=True)
class _CheckedImage:
    """One image: part, path, label, a hash of its upright pixels, its shorter side, unusual storage."""

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
    return check_splits(splits, tiny_px=tiny_px, progress=progress)


def check_splits(splits: Splits, *, tiny_px: int | None = None, progress: ProgressCallback | None = None) -> DataReport:
    """`check` for data that are open."""
    images: list[_CheckedImage] = []
    findings = [Finding("unreadable", (row.path,), row.reason) for row in splits.skipped]
    sides: tuple[tuple[Side, Data], ...] = (("train", splits.train), ("val", splits.val))
    for side, data in sides:
        for seen in map_threaded(lambda i, side=side, data=data: _examine(side, data, i), range(len(data)), progress):
            if isinstance(seen, Finding):
                findings.append(seen)
            else:
                images.append(seen)
    limit = (
        float(np.median([image.short for image in images]) / 4) if tiny_px is None and images else float(tiny_px or 0)
    )
    classes = splits.train.classes
    findings += _equal(images, classes)
    findings += [
        Finding(
            "tiny",
            (image.path,),
            _("the shorter side has {short} pixels, less than {limit:g}", short=image.short, limit=limit),
        )
        for image in images
        if image.short < limit
    ]
    findings += [Finding(kind, (image.path,), KINDS[kind]) for image in images for kind in image.odd]
    counts = zip(classes, splits.train.counts().tolist(), splits.val.counts().tolist(), strict=True)
    balance = tuple(ClassCounts(*row) for row in counts)
    findings += _uneven(balance)
    rank = {kind: i for i, kind in enumerate(KINDS)}
    findings.sort(key=lambda finding: rank[finding.kind])
    return DataReport(
        splits.train.kind, len(splits.train), len(splits.val), tuple(findings), balance, limit, splits.notes
    )


def _examine(side: Side, data: Data, i: int) -> _CheckedImage | Finding:
    path = data.path(i)
    try:
        if data.images is not None:
            image, odd = with_mode(data.images[i], "RGB"), ()
        else:
            raw = data.encoded(i)
            image, odd = decode(raw, "RGB"), traits(raw)
    except DataError as error:
        return Finding("unreadable", (path,), error.message)
    shape = "x".join(map(str, image.shape)).encode()
    digest = hashlib.blake2b(shape + b"\0" + image.tobytes(), digest_size=16).digest()
    return _CheckedImage(side, path, int(data.labels[i]), digest, min(image.shape[:2]), odd)


def _equal(images: Sequence[_CheckedImage], classes: Sequence[str]) -> list[Finding]:
    groups: dict[bytes, list[_CheckedImage]] = {}
    for image in images:
        groups.setdefault(image.pixels, []).append(image)
    found: list[Finding] = []
    for group in groups.values():
        if len(group) < 2:
            continue
        sides, labels = {image.side for image in group}, sorted({image.label for image in group})
        named = ", ".join(classes[label] for label in labels[:5])
        n = len(group)
        if len(sides) > 1 and len(labels) > 1:
            kind = "leaks"
            note = _("{n} with the same pixels, in train and in val, of the classes {classes}", n=n, classes=named)
        elif len(sides) > 1:
            kind, note = "leaks", _("{n} with the same pixels, in train and in val", n=n)
        elif len(labels) > 1:
            kind, note = "conflicts", _("{n} with the same pixels, of the classes {classes}", n=n, classes=named)
        else:
            kind, note = "duplicates", _("{n} with the same pixels", n=n)
        found.append(Finding(kind, tuple(image.path for image in group), note))
    return found


def _uneven(balance: Sequence[ClassCounts]) -> list[Finding]:
    most = max(row.train for row in balance)
    return [
        Finding(
            "imbalance",
            (),
            _(
                "class {name} has {train} training images, and the largest class has {most}",
                name=row.name,
                train=row.train,
                most=most,
            ),
        )
        for row in balance
        if row.train * _UNEVEN < most
    ]
