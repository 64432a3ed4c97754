"""Which columns of a CSV list name the image and its class: as the user says, as the header says, or as the first row shows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from plusx.data.parts import PART_NAMES, is_label, one_line
from plusx.errors import DataError
from plusx.images import SUFFIXES

# names that say a file come before those that may as well be a number of something else
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
    """The two arguments of `open_data` that name columns, as they are handed on and kept in run.json."""

    path_column: str | None
    label_column: str | None


@dataclass(frozen=True)
class ColumnNames:
    """Names of the columns that a user chose; None: to be found out."""

    path: str | None = None
    label: str | None = None

    def __bool__(self) -> bool:
        return self.path is not None or self.label is not None


@dataclass(frozen=True)
class RowLayout:
    """Where the image stands in a row, and where its class: one column, or one of several columns of 0 and 1."""

    path: int
    label: int | None
    marks: tuple[tuple[int, str], ...]
    has_header: bool
    said: str | None = None
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
        said = f"{path.name}: images from column {_name(header, at)}, the class is the one of {len(marks)} columns that is 1"
        return RowLayout(at, None, marks, has_header=True, said=said)
    said = None
    if (words[at], words[label]) != ("path", "label"):
        said = f"{path.name}: images from column {_name(header, at)}, classes from column {_name(header, label)}"
    split = next((i for i in others if words[i] in _SPLIT_NAMES and i != label), None)
    if split is not None and not (sample and split < len(sample) and part_word(sample[split])):
        said = (said or path.name) + f"; column {_name(header, split)} names no parts and is not used"
        split = None
    return RowLayout(at, label, (), has_header=True, said=said, promises_several=words[label] in _SEVERAL, split=split)


def part_word(cell: str) -> str | None:
    """The part that a cell names.

    >>> part_word(" Training "), part_word("3")
    ('train', None)
    """
    return PART_NAMES.get(cell.strip().lower())


def take(cells: list[str], chosen: RowLayout, where: str) -> tuple[str, str] | str:
    """Path and label of a row, or why it has none. Raises DataError for a row that marks no class or several."""
    last = max(chosen.path, chosen.label or 0, *(i for i, _ in chosen.marks)) if chosen.marks else max(
        chosen.path, chosen.label or 0
    )  # fmt: skip
    if len(cells) <= last:
        return f"{len(cells)} columns; path and label are needed"
    name = cells[chosen.path].strip()
    label = cells[chosen.label].strip() if chosen.label is not None else _marked(cells, chosen, where)
    if not name or not label:
        return "no label" if name else "no path"
    if not name.isprintable() or not is_label(label):
        return "path or label holds control characters, or is too long"
    if label[0] in "[{(" and "," in label:
        raise DataError(f"{where}: {one_line(label[:60])} are several classes; {_ONE_CLASS}")
    return name, label


_ONE_CLASS = "plusx trains on one class an image, so keep the rows that have one"


def _marked(cells: list[str], chosen: RowLayout, where: str) -> str:
    """The name of the one column that is 1."""
    ones: list[str] = []
    for i, name in chosen.marks:
        value = _zero_or_one(cells[i])
        if value is None:
            raise DataError(
                f"{where}: {one_line(cells[i].strip()[:40])!r} in column {name!r} is neither 0 nor 1, so the columns do not mark"
                " classes. Name the column of classes with --label-column"
            )
        ones += [name] if value else []
    if len(ones) != 1:
        raise DataError(f"{where}: {len(ones)} of {len(chosen.marks)} columns are 1, not one; {_ONE_CLASS}")
    return ones[0]


def require_single(labels: Set[str], chosen: RowLayout, path: Path) -> None:
    """Raises DataError where labels are lists of classes: words that are classes of their own in other rows."""
    for label in sorted(labels):
        words = [word for word in _SEPARATORS.split(label) if word]
        known = [word in labels for word in words]
        if len(words) > 1 and (all(known) or (any(known) and chosen.promises_several)):
            which = next(word for word, is_known in zip(words, known, strict=True) if is_known)
            raise DataError(
                f"{path} has rows of several classes ({one_line(label[:60])!r}, and {which!r} alone is one as well);"
                f" {_ONE_CLASS}, or join the words of a name with _"
            )


def _wanted(header: Sequence[str], name: str, path: Path) -> int:
    names = [cell.strip() for cell in header]
    if name in names:
        return names.index(name)
    lower = [cell.lower() for cell in names]
    if lower.count(name.lower()) == 1:
        return lower.index(name.lower())
    raise DataError(f"{path} has no column {name!r}; its columns are: {_shown(header)}")


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
                f"columns {' and '.join(_name(header, i) for i in found[:4])} of {path} could each be the {what}. Name one with"
                f" --{what}-column"
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


def _unclear(header: Sequence[str], path: Path, at: int | None) -> str:
    missing, options = ("class", "--label-column NAME")
    if at is None:
        missing, options = "image and class", "--path-column NAME --label-column NAME"
    return (
        f"the first line of {path} has {len(header)} columns ({_shown(header)}), and which of them give {missing} is not clear."
        f" Name them with {options}, or write a header with path and label"
    )


def _name(header: Sequence[str], i: int) -> str:
    return repr(one_line(header[i].strip()[:40]))


def _shown(header: Sequence[str]) -> str:
    return one_line(", ".join(header[:6])[:80]) + (", …" if len(header) > 6 else "")
