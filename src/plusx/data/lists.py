"""CSV lists: a path and a label a line. Paths are relative to the list; the pictures are files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from plusx.data.dataset import Skipped
from plusx.data.folders import index_pictures
from plusx.data.indexing import Progress
from plusx.data.parts import Part, one_line
from plusx.errors import DataError

_PATH_NAMES = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img", "picture")
_LABEL_NAMES = ("label", "labels", "class", "class_name", "cls", "category", "target")
_MAX_LINE = 1 << 16
_MAX_LINES = 50_000_000


def list_parts(
    paths: Mapping[str, Sequence[Path]], cache: Path | None, progress: Progress | None, where: str
) -> dict[str, Part]:
    """A Part for each name of `paths`. Pictures that several lists name are looked at once. Raises DataError."""
    read = {which: [_read(path) for path in lists] for which, lists in paths.items()}
    root = next(path for lists in paths.values() for path in lists).absolute().parent
    wanted = {which: _merged(found, root) for which, found in read.items()}
    names = sorted({name for rows, _ in wanted.values() for name in rows})
    entries, bad = index_pictures(root, names, cache, progress)
    known = {entry.name: entry for entry in entries}
    reasons = {row.path: row.reason for row in bad}
    out: dict[str, Part] = {}
    for which, (rows, skipped) in wanted.items():
        good = [name for name in rows if name in known]
        grey = all(known[name].grey for name in good)
        lost = [Skipped(str(root / n), reasons[str(root / n)]) for n in rows if n not in known]
        out[which] = Part(
            "csv", ", ".join(map(str, paths[which])), tuple(good), tuple(rows[name] for name in good),
            np.array([min(known[n].width, known[n].height) for n in good], np.int64),
            np.array([known[n].size for n in good], np.int64), 1 if grey else 3, root=root,
            skipped=(*skipped, *lost),
        )  # fmt: skip
    return out


def _merged(
    lists: Sequence[tuple[Path, dict[str, str], list[Skipped]]], root: Path
) -> tuple[dict[str, str], list[Skipped]]:
    """Rows of several lists, with paths relative to `root`; those of a list elsewhere become absolute."""
    rows: dict[str, str] = {}
    skipped: list[Skipped] = []
    for base, found, left_out in lists:
        skipped += left_out
        for name, label in found.items():
            key = name if base == root else str(base / name)
            if rows.setdefault(key, label) != label:
                skipped.append(Skipped(str(base / name), f"listed again as {label}; {rows[key]} came first"))
    return rows, skipped


def _read(path: Path) -> tuple[Path, dict[str, str], list[Skipped]]:
    """The folder of a list, its label for each path, and lines left out. Raises DataError."""
    rows: dict[str, str] = {}
    skipped: list[Skipped] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(_lines(file, path), delimiter=_delimiter(file, path))
            columns: tuple[int, int] | None = None
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if columns is None:
                    columns, is_header = _columns(cells, path)
                    if is_header:
                        continue
                why = _take(rows, cells, columns)
                if why is not None:
                    skipped.append(Skipped(f"{path}, line {reader.line_num}", why))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 (byte {error.start}); save it as such") from error
    except csv.Error as error:
        raise DataError(f"cannot read {path} as CSV ({error}); one line a picture: path,label") from error
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check its permissions") from error
    return path.absolute().parent, rows, skipped


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Lines of bounded length: a file without line ends must not fill the memory."""
    for number in range(1, _MAX_LINES):
        line = file.readline(_MAX_LINE)
        if not line:
            return
        if len(line) == _MAX_LINE and not line.endswith("\n"):
            raise DataError(
                f"line {number} of {path} is longer than {_MAX_LINE} characters; one line a picture: path,label"
            )
        yield line
    raise DataError(f"{path} has more than {_MAX_LINES} lines; use tar shards for so many")


def _delimiter(file: TextIO, path: Path) -> str:
    first = file.readline(_MAX_LINE)
    file.seek(0)
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((mark for mark in ",\t;" if mark in first), ",")


def _columns(cells: list[str], path: Path) -> tuple[tuple[int, int], bool]:
    """Where path and label stand, and whether this first line is a header. Raises DataError."""
    from plusx.images import SUFFIXES

    words = [cell.strip().lower() for cell in cells]
    at = [next((words.index(n) for n in names if n in words), None) for names in (_PATH_NAMES, _LABEL_NAMES)]
    if at[0] is not None and at[1] is not None:
        return (at[0], at[1]), True
    if len(cells) == 2 and Path(words[0]).suffix in SUFFIXES:
        return (0, 1), False
    shown = one_line(", ".join(cells[:4])[:80]) + (", …" if len(cells) > 4 else "")
    raise DataError(
        f"the first line of {path} has {len(cells)} columns ({shown}); expected a header with path and label, or picture,label"
    )


def _take(rows: dict[str, str], cells: list[str], columns: tuple[int, int]) -> str | None:
    """Puts a line into rows; the reason when it cannot be."""
    if len(cells) <= max(columns):
        return f"{len(cells)} columns; path and label are needed"
    name, label = (cells[at].strip() for at in columns)
    if not name or not label:
        return "no label" if name else "no path"
    if not name.isprintable() or not label.isprintable() or len(label) > 200:
        return "path or label holds control characters, or is too long"
    if name in rows:
        return f"{name} is listed before" + (f", as {rows[name]}" if rows[name] != label else "")
    rows[name] = label
    return None
