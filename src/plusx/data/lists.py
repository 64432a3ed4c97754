"""CSV lists: an image and a class a line. Paths are relative to the list; the images are files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

from plusx.data.dataset import Skipped
from plusx.data.folders import files_part
from plusx.data.indexing import ProgressCallback, index_path
from plusx.data.list_columns import ColumnNames, RowLayout, choose, part_word, require_single, take
from plusx.data.parts import LabelledPart
from plusx.data.resolving import resolved
from plusx.errors import DataError
from plusx.files import open_regular
from plusx.i18n import Message, _

_MAX_LINE = 1 << 16
_SAMPLE = 16
_MAX_LINES = 50_000_000


def list_part(
    paths: Sequence[Path],
    wanted: ColumnNames,
    cache: Path | None,
    progress: ProgressCallback | None,
    part: str | None = None,
) -> LabelledPart:
    """The images of one or several lists, or of one part that a column of theirs names. Raises DataError.

    Paths are relative to the first list's folder.
    """
    root = paths[0].absolute().parent
    rows: dict[str, str] = {}
    skipped: list[Skipped] = []
    notes: list[Message] = []
    for path in paths:
        said, mine = _read(path, wanted, skipped, part)
        notes += [said] if said else []
        mine, more = resolved(path, mine, skipped)
        notes += more
        folder = path.absolute().parent
        prefix = "" if folder == root else f"{folder}/"
        for name, label in mine.items():
            name = name if os.path.isabs(name) else prefix + name
            if name in rows:
                skipped.append(Skipped(str(path), _twice(name, rows[name], label)))
            else:
                rows[name] = label
    index = cache and index_path(cache, "list" if part is None else f"list-{part}", *paths)
    return files_part("csv", ", ".join(map(str, paths)), root, rows, None, skipped, index, progress, notes)


def is_list(path: Path, wanted: ColumnNames) -> bool:
    """Whether a file is a list whose columns can be determined. Only its first lines are read."""
    try:
        require_list(path, wanted)
    except DataError:
        return False
    return True


def require_list(path: Path, wanted: ColumnNames) -> None:
    """Raises DataError for a file whose columns cannot be determined. Only its first lines are read."""
    next(_rows(path, wanted), None)


def finds_images(path: Path, wanted: ColumnNames) -> bool:
    """Whether an image of the first rows of a list lies where the list says, or in a folder beside it."""
    some: dict[str, str] = {}
    for _number, cells, chosen in islice(_rows(path, wanted), _SAMPLE):
        if chosen.path < len(cells):
            some[cells[chosen.path].strip()] = ""
    found, _notes = resolved(path, some, [])
    return any(name.isprintable() and os.path.isfile(path.parent / name) for name in found)


def split_parts(paths: Sequence[Path], wanted: ColumnNames) -> set[str]:
    """The parts that a column of lists names; none where there is no such column. Raises DataError."""
    found: set[str] = set()
    for path in paths:
        for number, cells, chosen in _rows(path, wanted):
            if chosen.split is None:
                return set()
            if (part := _part(cells, chosen)) is None:
                raise DataError(
                    _(
                        "Line {number} of {path} names no part, though other lines do. Write train, val or test there, or remove the line.",
                        number=number,
                        path=path,
                    )
                )
            found.add(part)
    return found


def _part(cells: list[str], chosen: RowLayout) -> str | None:
    at = chosen.split
    return None if at is None or at >= len(cells) else part_word(cells[at])


def _twice(name: str, had: str, label: str) -> Message:
    if had != label:
        return _("{name} is listed before, as {label}", name=name, label=had)
    return _("{name} is listed before", name=name)


def _read(
    path: Path, wanted: ColumnNames, skipped: list[Skipped], part: str | None
) -> tuple[Message | None, dict[str, str]]:
    """A note on the columns, and the label of each path in a list; skipped lines are added to `skipped`. Raises DataError."""
    rows: dict[str, str] = {}
    said, chosen = None, None
    for number, cells, chosen in _rows(path, wanted):
        said = chosen.said
        if part is not None and _part(cells, chosen) != part:
            continue
        found = take(cells, chosen, _("{path}, line {number}", path=path, number=number))
        why = found if isinstance(found, Message) else None
        if not isinstance(found, Message):
            name, label = found
            why = _twice(name, rows[name], label) if name in rows else None
            rows.setdefault(name, label)
        if why is not None:
            skipped.append(Skipped(_("{path}, line {number}", path=path, number=number), why))
    if chosen is not None:
        require_single(set(rows.values()), chosen, path)
    return said, rows


def _rows(path: Path, wanted: ColumnNames) -> Iterator[tuple[int, list[str], RowLayout]]:
    """Line number and cells of each row that is no header, with what its columns are. Raises DataError."""
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_lines(file, path), delimiter=_delimiter(file, path))
            header: list[str] | None = None
            first = 0
            chosen: RowLayout | None = None
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if header is None:
                    header = cells
                    first = reader.line_num
                    continue
                if chosen is None:
                    chosen = choose(header, cells, path, wanted)
                    if not chosen.has_header:
                        yield first, header, chosen
                yield reader.line_num, cells, chosen
            if header is not None and chosen is None:
                chosen = choose(header, None, path, wanted)
                if not chosen.has_header:
                    yield first, header, chosen
    except UnicodeDecodeError as error:
        raise DataError(
            _("{path} is not text in UTF-8 (byte {at}). Save it as UTF-8.", path=path, at=error.start)
        ) from error
    except csv.Error as error:
        raise DataError(
            _("{path} cannot be read as CSV. Write one line for each image: path,label.", path=path)
        ) from error
    except OSError as error:
        raise DataError(
            _("{path} cannot be read ({reason}). Check its permissions.", path=path, reason=error.strerror)
        ) from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Lines of bounded length: a file without line ends must not fill the memory."""
    for number in range(1, _MAX_LINES):
        line = file.readline(_MAX_LINE)
        if not line:
            return
        if len(line) == _MAX_LINE and not line.endswith("\n"):
            raise DataError(
                _(
                    "Line {number} of {path} is longer than {most} characters. Write one line for each image: path,label.",
                    number=number,
                    path=path,
                    most=_MAX_LINE,
                )
            )
        yield line
    raise DataError(
        _("{path} has more than {most} lines. Use tar shards for so many images.", path=path, most=_MAX_LINES)
    )


def _delimiter(file: TextIO, path: Path) -> str:
    first = file.readline(_MAX_LINE)
    file.seek(0)
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((mark for mark in ",\t;" if mark in first), ",")
