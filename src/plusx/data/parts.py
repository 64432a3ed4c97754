"""From labelled images of any format to training and validation data: classes agreed on, a share held out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.data.dataset import Data, Skipped, Splits, fingerprint, held_out
from plusx.data.packed import Packed
from plusx.errors import DataError
from plusx.i18n import Message, _, joined

PART_NAMES = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "test": "test", "testing": "test", "tst": "test",
    "训练": "train", "训练集": "train", "验证": "val", "验证集": "val", "测试": "test", "测试集": "test",
}  # fmt: skip
"""Which part a folder or file of that name is; test is used as val where there is none."""

MAX_LABEL = 200
"""Characters of a class name."""
_INTEGER = re.compile(r"[+-]?\d{1,18}")


@dataclass(frozen=True, eq=False)
class LabelledPart:
    """One set as its files tell it: a label (text) for each name; `classes` where the format declares them.

    `sides` int64 (n,): shorter sides in pixels; `digests`: the hash of each image's encoded bytes, nothing where `images` are
    in memory. `where` names the files in messages.
    """

    kind: str
    where: Message | str

    names: Sequence[str]
    labels: Sequence[str]
    sides: NDArray[np.int64]
    digests: Sequence[str]
    channels: int
    classes: tuple[str, ...] | None = None
    images: NDArray[np.uint8] | None = None
    packed: Packed | None = None
    root: Path | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[Message, ...] = ()

    def filled(self) -> LabelledPart:
        """This part, which has images. Raises DataError."""
        if self.names:
            return self

        raise DataError(
            _(
                "There is no readable image with a label in {where}. {first}Give other data.",
                where=self.where,
                first=first_skipped(self.skipped),
            )
        )

    def known_classes(self) -> tuple[str, ...]:
        """The declared classes, else the labels that occur, sorted: as numbers if all are numbers."""
        if self.classes is not None:
            return self.classes
        present = set(self.labels)
        if all(_INTEGER.fullmatch(label) for label in present):
            return tuple(sorted(present, key=lambda label: (int(label), label)))
        return tuple(sorted(present))

    def data(self, classes: tuple[str, ...], channels: int) -> Data:
        """Data whose labels index `classes`, which hold every label; skipped images are not in it."""
        index = {name: i for i, name in enumerate(classes)}
        labels = np.array([index[label] for label in self.labels], dtype=np.int64)
        what = self.digests if self.images is None else self.images
        mark = fingerprint(self.names, what, labels, classes)
        return Data(self.kind, classes, channels, labels, self.names, mark, self.images, self.root, packed=self.packed)


@dataclass(frozen=True)
class UnreadPart:
    """A part not read yet: where it lies, its classes where they are known without reading it (else None)."""

    where: Message | str

    classes: tuple[str, ...] | None
    read: Callable[[], LabelledPart]


@dataclass(frozen=True)
class DataParts:
    """The parts of one data set: `train`, and `val` where the format or the names of its files set one apart."""

    where: Message | str

    train: UnreadPart | None
    val: UnreadPart | None
    notes: tuple[Message, ...] = ()

    def splits(self, val_split: float, seed: int) -> Splits:
        """Both parts; without `val` a stratified share of train is held out. Raises DataError."""
        if self.train is None:
            raise DataError(
                _(
                    "{where} has a validation part and no training part. Name its folder or files train.",
                    where=self.where,
                )
            )
        if self.train.classes:
            _several(self.train.classes, self.train.where)
        if self.val is not None and self.train.classes is not None and self.val.classes is not None:
            self._agree(self.train.classes, self.val.classes)  # before the images are indexed, which takes a while
        part = self.train.read().filled()
        _several(set(part.labels), self.train.where)
        classes, size_px = part.known_classes(), int(np.median(part.sides))
        if self.val is None:
            return self._held_out(part.data(classes, part.channels), part, val_split, seed)
        val = self.val.read()
        if not val.names:
            raise DataError(
                _(
                    "The validation part {where} has no images. {first}Add images, or remove it.",
                    where=val.where,
                    first=first_skipped(val.skipped),
                )
            )
        self._agree(classes, val.known_classes())
        if part.images is not None and val.images is not None and part.images.shape[1:] != val.images.shape[1:]:
            sizes = ", ".join("x".join(map(str, p.images.shape[1:])) for p in (part, val) if p.images is not None)
            raise DataError(
                _(
                    "The images of train and val of {where} differ in size ({sizes}). Give both the same size.",
                    where=self.where,
                    sizes=sizes,
                )
            )
        channels = max(part.channels, val.channels)
        data = (each.data(classes, channels) for each in (part, val))
        notes = self._notes(part, val)
        return Splits(*data, skipped=(*part.skipped, *val.skipped), size_px=size_px, notes=notes)

    def evaluated(self, val_split: float | None, seed: int) -> Data:
        """The part to evaluate on: val, else the share that `val_split` and `seed` held out, else every image.

        What was skipped is in its `skipped`. Raises DataError.
        """
        if self.val is None and val_split is not None:
            splits = self.splits(val_split, seed)
            return replace(splits.val, skipped=splits.skipped, notes=splits.notes)
        source = self.val or self.train
        if source is None:
            raise DataError(_("There are no images in {where}. Give other data.", where=self.where))
        part = source.read().filled()
        data = part.data(part.known_classes(), part.channels)
        return replace(data, skipped=part.skipped, notes=self._notes(part))

    def _held_out(self, whole: Data, part: LabelledPart, val_split: float, seed: int) -> Splits:
        out = held_out(whole.names, whole.labels, val_split, seed)
        if not out.any():
            raise DataError(
                _(
                    "No class of {where} has two images, so none can be held out for validation. Add images, or a val part.",
                    where=self.where,
                )
            )
        train, val = (whole.subset(np.flatnonzero(side)) for side in (~out, out))
        return Splits(train, val, part.skipped, int(np.median(part.sides)), self._notes(part))

    def _notes(self, *parts: LabelledPart) -> tuple[Message, ...]:
        return tuple(dict.fromkeys((*self.notes, *(note for part in parts for note in part.notes))))

    def _agree(self, train: Sequence[str], val: Sequence[str]) -> None:
        if not val:
            raise DataError(
                _("The validation part of {where} has no images. Add images, or remove it.", where=self.where)
            )
        if set(train) != set(val):
            only = {"train": set(train) - set(val), "val": set(val) - set(train)}
            difference = [
                _("only in {part}: {names}", part=part, names=some(sorted(names)))
                for part, names in only.items()
                if names
            ]
            raise DataError(
                _(
                    "train and val of {where} differ in classes ({difference}). Give both the same classes.",
                    where=self.where,
                    difference=joined("; ", difference),
                )
            )


def deep_note(tops: Sequence[int | None]) -> list[Message]:
    """Notes on images of 16 bits a channel, given the largest value of each (None: 8 bits).

    >>> deep_note([None, 4095, 4000])[0][:68]
    '2 of 3 images have 16 bits a channel, and no value above 4095 of 655'
    """
    deep = [top for top in tops if top is not None]
    if not deep:
        return []

    high = max(deep)
    if high >= 1 << 15:
        return [
            _(
                "{deep} of {n} images have 16 bits a channel and are read as 8 bits, by round(value / 257).",
                deep=len(deep),
                n=len(tops),
            )
        ]
    levels = (high + 128) // 257 + 1
    return [
        _(
            "{deep} of {n} images have 16 bits a channel, and no value above {high} of 65535. They are read as 8 bits by"
            " round(value / 257), which leaves {levels} of 256 levels. Scale them to the full range and save them again.",
            deep=len(deep), n=len(tops), high=high, levels=levels,
        )
    ]  # fmt: skip


def memory_part(
    kind: str,
    where: Message | str,
    which: str,
    images: NDArray[np.uint8],
    labels: Sequence[int],
    classes: tuple[str, ...],
) -> LabelledPart:
    """A part whose images, uint8 (n, h, w, c), lie in memory; they are named by number. Labels index `classes`."""
    n, sides = len(labels), min(images.shape[1:3])
    return LabelledPart(
        kind, where, tuple(f"{which}/{i:05d}" for i in range(n)), [classes[label] for label in labels],
        np.full(n, sides, np.int64), (), images.shape[3], classes, images,
    )  # fmt: skip


def _several(classes: Sequence[str] | set[str], where: Message | str) -> None:
    if len(classes) < 2:
        raise DataError(
            _(
                "{where} has only one class ({name}). Give each class a folder of its own, or name the folder or list that holds them all.",
                name=next(iter(classes)),
                where=where,
            )
        )


def first_skipped(skipped: Sequence[Skipped]) -> Message | str:
    """A sentence on the first skipped image, and a space; nothing where there is none."""
    if not skipped:
        return ""
    return _("The first that is skipped is {path}: {reason}. ", path=skipped[0].path, reason=skipped[0].reason)


def class_names(names: object, where: Message | str) -> tuple[str, ...]:
    """Declared class names: a list of texts of one line, all of them different. Raises DataError."""
    texts = tuple(name for name in names if isinstance(name, str)) if isinstance(names, list | tuple) else ()
    if not texts or not isinstance(names, list | tuple) or len(texts) != len(names):
        raise DataError(_("The class names in {where} are not a list of texts. Write the file again.", where=where))
    if odd := next((name for name in texts if not is_label(name)), None):
        raise DataError(
            _(
                "The class name {name!r} in {where} is not a short text of one line. Rename it.",
                name=one_line(odd[:40]),
                where=where,
            )
        )
    if len(set(texts)) != len(texts):
        twin = next(name for i, name in enumerate(texts) if name in texts[:i])
        raise DataError(
            _(
                "The class name {name!r} occurs twice in {where}. Give every class a name of its own.",
                name=twin,
                where=where,
            )
        )
    return texts


def is_label(text: str) -> bool:
    """Whether a text may be a class name: one line that is not empty, nor a page long.

    >>> is_label("Ankle boot"), is_label("a\\nb"), is_label(""), is_label("a" * 1000)
    (True, False, False, False)
    """
    return bool(text) and len(text) <= MAX_LABEL and text.isprintable()


def in_range(label: int, count: int, where: Message | str) -> int:
    """The label, if it is one of `count` classes. Raises DataError."""
    if not 0 <= label < count:
        if label == -1:
            raise DataError(
                _("Label -1 of {where} means unlabelled. Remove the image, or give it a label.", where=where)
            )
        raise DataError(
            _(
                "Label {label} of {where} is out of range: 0 to {last} are allowed. Correct it, or remove the image.",
                label=label,
                where=where,
                last=count - 1,
            )
        )
    return label


def one_line(name: str) -> str:
    """A name from a file, fit for a message: no line breaks, no escape codes, no lone surrogates.

    >>> one_line("a\\nb.jpg")
    'a?b.jpg'
    """
    return "".join(c if c.isprintable() else "?" for c in name)


def some(names: Sequence[str]) -> Message | str:
    """The first of many names.

    >>> some(["a", "b"]), some(list("abcdefg"))
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else _("{names} and {n} more", names=shown, n=len(names) - 5)
