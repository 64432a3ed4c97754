"""Which columns of a CSV list name the image and its class: chosen by the user, by the header, or by the first row."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from plusx.data.parts import PART_NAMES, is_label, one_line
from plusx.errors import DataError
from plusx.i18n import Message, _, joined
from plusx.images import SUFFIXES

# names that mean a file come before those that may be an identifier of something else
_PATH_NAMES = (
    (
        "path", "paths", "file", "files", "filename", "filenames", "file_name", "filepath", "filepaths", "file_path",
        "image", "images", "image_path", "image_name", "imagename", "image_file", "img", "img_path", "img_name", "image",
        "photo", "fname",
    ),
    ("id", "image_id", "imageid", "img_id", "file_id"),
)  # fmt: skip
_LABEL_NAMES = (
    (
        "label", "labels", "class", "classes", "class_name", "classname", "cls", "category", "category_name", "target",
        "breed", "species", "tag", "tags",
    ),
    ("class_id", "label_id", "category_id", "class_index", "label_name", "y"),
)  # fmt: skip
_SEVERAL = ("labels", "classes", "tags", "categories", "attributes")
"""Headers that promise more than one class an image."""
_SPLIT_NAMES = ("split", "subset", "set", "data_set", "dataset", "partition", "fold")
_SEPARATORS = re.compile(r"[\s,;|]+")
_MOST_COLUMNS = 4096


class ListColumns(TypedDict, total=False):
    """The two arguments of `open_data` that name columns, as they are passed on and stored in run.json."""

    path_column: str | None
    label_column: str | None


@dataclass(frozen=True)
class ColumnNames:
    """Names of the columns that a user chose; None: to be detected."""

    path: str | None = None
    label: str | None = None

    def __bool__(self) -> bool:
        return self.path is not None or self.label is not None


@dataclass(frozen=True)
class RowLayout:
    """Which column of a row names the image, and which its class: one column, or one of several columns of 0 and 1."""

    path: int
    label: int | None
    marks: tuple[tuple[int, str], ...]
    has_header: bool
    said: Message | None = None
    promises_several: bool = False
    split: int | None = None


def choose(header: list[str], sample: list[str] | None, path: Path, wanted: ColumnNames) -> RowLayout:
    """The columns of a list, by its first line and the first row after it (None: there is none). Raises DataError."""
    if not wanted and len(header) == 2 and os.path.splitext(header[0].strip())[1].lower() in SUFFIXES:
        return RowLayout(0, 1, (), has_header=False)
    words = [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in header[:_MOST_COLUMNS]]
    at = _wanted(header, wanted.path, path) if wanted.path else _by_name(words, _PATH_NAMES, header, path, "path")
    if at is None and sample is not None:
        at = _by_file(sample, path)
    label = _wanted(header, wanted.label, path) if wanted.label else None
    others = [i for i in range(len(words)) if i != at]
    if label is None and not wanted.label:
        label = _by_name(words, _LABEL_NAMES, header, path, "label", without=at)
    if label is None and at is not None and len(others) == 1:
        label = others[0]
    if at is None or (label is None and (sample is None or not _are_marks(sample, others))):
        raise DataError(_unclear(header, path, at))
    if label is None:
        marks = tuple((i, header[i].strip()) for i in others)
        said = _(
            "{path}: images from column {images}, and the class is the one of {n} columns that is 1.",
            path=path.name, images=_name(header, at), n=len(marks),
        )  # fmt: skip
        return RowLayout(at, None, marks, has_header=True, said=said)
    said = None
    if (words[at], words[label]) != ("path", "label"):
        said = _(
            "{path}: images from column {images}, classes from column {classes}.",
            path=path.name, images=_name(header, at), classes=_name(header, label),
        )  # fmt: skip
    split = next((i for i in others if words[i] in _SPLIT_NAMES and i != label), None)
    if split is not None and not (sample and split < len(sample) and part_word(sample[split])):
        unused = _(
            "{path}: column {column} names no parts and is not used.", path=path.name, column=_name(header, split)
        )
        said = unused if said is None else joined(" ", [said, unused])
        split = None
    return RowLayout(at, label, (), has_header=True, said=said, promises_several=words[label] in _SEVERAL, split=split)


def part_word(cell: str) -> str | None:
    """The part that a cell names.

    >>> part_word(" Training "), part_word("3")
    ('train', None)
    """
    return PART_NAMES.get(cell.strip().lower())


def take(cells: list[str], chosen: RowLayout, where: Message) -> tuple[str, str] | Message:
    """Path and label of a row, or why it has none. Raises DataError for a row that marks no class or several."""
    last = max(chosen.path, chosen.label or 0, *(i for i, _ in chosen.marks)) if chosen.marks else max(
        chosen.path, chosen.label or 0
    )  # fmt: skip
    if len(cells) <= last:
        return _("it has {n} columns, and path and label need {needed}", n=len(cells), needed=last + 1)
    name = cells[chosen.path].strip()
    label = cells[chosen.label].strip() if chosen.label is not None else _marked(cells, chosen, where)
    if not name or not label:
        return _("it has no label") if name else _("it has no path")
    if not name.isprintable() or not is_label(label):
        return _("its path or label holds control characters, or is too long")
    if label[0] in "[{(" and "," in label:
        raise DataError(
            _(
                "{where}: {label} are several classes. {way_out}",
                where=where,
                label=one_line(label[:60]),
                way_out=_ONE_CLASS,
            )
        )
    return name, label


_ONE_CLASS = _("plusx trains on one class an image, so keep the rows that have one.")


def _marked(cells: list[str], chosen: RowLayout, where: Message) -> str:
    """The name of the one column that is 1."""
    ones: list[str] = []
    for i, name in chosen.marks:
        value = _zero_or_one(cells[i])
        if value is None:
            raise DataError(
                _(
                    "{where}: {cell!r} in column {name!r} is neither 0 nor 1, so the columns do not mark classes. Name the column of classes with --label-column.",
                    where=where,
                    cell=one_line(cells[i].strip()[:40]),
                    name=name,
                )
            )
        ones += [name] if value else []
    if len(ones) != 1:
        raise DataError(
            _(
                "{where}: {ones} of {n} columns are 1 instead of exactly one. {way_out}",
                where=where,
                ones=len(ones),
                n=len(chosen.marks),
                way_out=_ONE_CLASS,
            )
        )
    return ones[0]


def require_single(labels: Set[str], chosen: RowLayout, path: Path) -> None:
    """Raises DataError where labels are lists of classes: words that are classes of their own in other rows."""
    for label in sorted(labels):
        words = [word for word in _SEPARATORS.split(label) if word]
        known = [word in labels for word in words]
        if len(words) > 1 and (all(known) or (any(known) and chosen.promises_several)):
            which = next(word for word, is_known in zip(words, known, strict=True) if is_known)
            raise DataError(
                _(
                    "{path} has rows of several classes ({label!r}, and {which!r} alone is a class as well). {way_out} If a name has several words, join them with _.",
                    path=path,
                    label=one_line(label[:60]),
                    which=which,
                    way_out=_ONE_CLASS,
                )
            )


def _wanted(header: Sequence[str], name: str, path: Path) -> int:
    names = [cell.strip() for cell in header]
    if name in names:
        return names.index(name)
    lower = [cell.lower() for cell in names]
    if lower.count(name.lower()) == 1:
        return lower.index(name.lower())
    raise DataError(
        _("{path} has no column {name!r}. Its columns are: {columns}.", path=path, name=name, columns=_shown(header))
    )


def _by_name(
    words: Sequence[str], tiers: Sequence[Sequence[str]], header: Sequence[str], path: Path, what: str,
    without: int | None = None,
) -> int | None:  # fmt: skip
    """The one column with a usual name; the documented one wins. Raises DataError where several have one."""
    if what in words:
        return words.index(what)
    for tier in tiers:
        found = [i for i, word in enumerate(words) if word in tier and i != without]
        if len(found) > 1:
            raise DataError(
                _(
                    "Columns {columns} of {path} could each be the {what}. Name one with --{what}-column.",
                    columns=", ".join(_name(header, i) for i in found[:4]),
                    path=path,
                    what=what,
                )
            )
        if found:
            return found[0]
    return None


def _by_file(sample: Sequence[str], path: Path) -> int | None:
    """The one column whose first value is the name of a file beside the list, or ends as one."""
    found = [
        i for i, cell in enumerate(sample[:_MOST_COLUMNS])
        if os.path.splitext(cell.strip())[1].lower() in SUFFIXES
    ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def _are_marks(sample: Sequence[str], at: Sequence[int]) -> bool:
    return len(at) > 1 and all(i < len(sample) and _zero_or_one(sample[i]) is not None for i in at)


def _zero_or_one(cell: str) -> int | None:
    return {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "0.": 0, "1.": 1}.get(cell.strip())


def _unclear(header: Sequence[str], path: Path, at: int | None) -> Message:
    values = {"path": path, "n": len(header), "columns": _shown(header)}
    if at is None:
        return _(
            "The first line of {path} has {n} columns ({columns}), and it is not clear which of them give image and class. Name them"
            " with --path-column NAME --label-column NAME, or write a header with path and label.", **values
        )  # fmt: skip
    return _(
        "The first line of {path} has {n} columns ({columns}), and it is not clear which of them gives the class. Name it with"
        " --label-column NAME, or write a header with path and label.", **values
    )  # fmt: skip


def _name(header: Sequence[str], i: int) -> str:
    return repr(one_line(header[i].strip()[:40]))


def _shown(header: Sequence[str]) -> str:
    return one_line(", ".join(header[:6])[:80]) + (", …" if len(header) > 6 else "")
