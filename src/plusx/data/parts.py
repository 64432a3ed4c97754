"""From labelled pictures of any format to training and validation data: classes agreed on, a share held out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.data.dataset import Data, Skipped, Splits, fingerprint, held_out
from plusx.data.packed import Packed
from plusx.errors import DataError

PART_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_INTEGER = re.compile(r"[+-]?\d{1,18}")


@dataclass(frozen=True, eq=False)
class Part:
    """One set as its files tell it: a label (text) for each name; `classes` where the format declares them.

    `sides` int64 (n,): shorter sides in pixels; `sizes` int64 (n,): bytes. `where` names the files in messages.
    """

    kind: str
    where: str
    names: Sequence[str]
    labels: Sequence[str]
    sides: NDArray[np.int64]
    sizes: NDArray[np.int64]
    channels: int
    classes: tuple[str, ...] | None = None
    pictures: NDArray[np.uint8] | None = None
    packed: Packed | None = None
    root: Path | None = None
    skipped: tuple[Skipped, ...] = ()

    def known_classes(self) -> tuple[str, ...]:
        """The declared classes, else the labels that occur, sorted: as numbers if all are numbers. Raises DataError."""
        if not self.names:
            first = f" (first: {self.skipped[0].path}: {self.skipped[0].reason})" if self.skipped else ""
            raise DataError(
                f"no readable labelled picture in {self.where}{first}; check that this is the data you mean"
            )
        present = set(self.labels)
        if len(present) < 2:
            raise DataError(f"one class ({next(iter(present))}) in {self.where}; at least 2 are needed")
        if self.classes is not None:
            return self.classes
        if all(_INTEGER.fullmatch(label) for label in present):
            return tuple(sorted(present, key=lambda label: (int(label), label)))
        return tuple(sorted(present))

    def data(self, classes: tuple[str, ...], channels: int) -> Data:
        """Data whose labels index `classes`, which hold every label."""
        index = {name: i for i, name in enumerate(classes)}
        labels = np.array([index[label] for label in self.labels], dtype=np.int64)
        what = self.sizes if self.pictures is None else self.pictures
        mark = fingerprint(self.names, what, labels, classes)
        return Data(
            self.kind, classes, channels, labels, self.names, mark, self.pictures, self.root, self.skipped, self.packed
        )


@dataclass(frozen=True)
class Parts:
    """What lies at one place: `train`, and `val` where the format or the names of its files set one apart."""

    where: str
    train: Part | None
    val: Part | None

    def splits(self, val_split: float, seed: int) -> Splits:
        """Both parts; without `val` a stratified share of train is held out. Raises DataError."""
        if self.train is None:
            raise DataError(f"{self.where} has a test or validation part and no train; add files named train…")
        classes = self.train.known_classes()
        size_px = int(np.median(self.train.sides))
        if self.val is None:
            whole = self.train.data(classes, self.train.channels)
            out = held_out(whole.names, whole.labels, val_split, seed)
            if not out.any():
                raise DataError(
                    f"no class of {self.where} has two pictures, so none can be held out; add pictures or a val part"
                )
            train, val = (replace(whole.subset(np.flatnonzero(side)), skipped=()) for side in (~out, out))
            return Splits(train, val, whole.skipped, size_px)
        self._agree(classes, self.val)
        channels = max(self.train.channels, self.val.channels)
        train, val = (replace(part.data(classes, channels), skipped=()) for part in (self.train, self.val))
        return Splits(train, val, (*self.train.skipped, *self.val.skipped), size_px)

    def evaluated(self, val_split: float | None, seed: int) -> Data:
        """The part to evaluate on: val, else the share that `val_split` and `seed` held out, else every picture."""
        if self.val is None and val_split is not None:
            splits = self.splits(val_split, seed)
            return replace(splits.val, skipped=splits.skipped)
        part = self.val or self.train
        if part is None or not part.names:
            raise DataError(f"no readable labelled picture in {self.where}; check that this is the data you mean")
        # to be evaluated on a single class is fair
        classes = part.classes if part.classes is not None else tuple(sorted(set(part.labels)))
        return part.data(classes, part.channels)

    def _agree(self, classes: tuple[str, ...], val: Part) -> None:
        if not val.names:
            first = f" (first left out: {val.skipped[0].path}: {val.skipped[0].reason})" if val.skipped else ""
            raise DataError(f"the validation part is empty ({val.where}){first}; give it pictures")
        theirs = val.classes if val.classes is not None else tuple(set(val.labels))
        if set(classes) == set(theirs):
            return
        only = {"train": set(classes) - set(theirs), "val": set(theirs) - set(classes)}
        words = "; ".join(f"only in {part}: {', '.join(sorted(names)[:5])}" for part, names in only.items() if names)
        raise DataError(f"train and val of {self.where} differ in classes ({words}); give both the same")


def no_twins(classes: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Declared class names, all of them different. Raises DataError."""
    if len(set(classes)) != len(classes):
        twin = next(name for i, name in enumerate(classes) if name in classes[:i])
        raise DataError(f"class name {twin!r} stands twice in {where}; every class needs a name of its own")
    return classes


def in_range(label: int, count: int, where: str) -> int:
    """The label, if it is one of `count` classes. Raises DataError."""
    if not 0 <= label < count:
        why = "; -1 means unlabelled" if label == -1 else ""
        raise DataError(f"label {label} of {where} is out of range, allowed: 0 to {count - 1}{why}; fix or remove it")
    return label


def one_line(name: str) -> str:
    """A name from a file, fit for a message: no line breaks, no escape codes, no lone surrogates.

    >>> one_line("a\\nb.jpg")
    'a?b.jpg'
    """
    return "".join(c if c.isprintable() else "?" for c in name)
