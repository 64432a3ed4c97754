"""CSV lists: a path and a label a line. Paths are relative to the list; the images are files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from plusx.data.dataset import Skipped
from plusx.data.folders import files_part
from plusx.data.indexing import Progress, place
from plusx.data.parts import Part, is_label, one_line
from plusx.errors import DataError
from plusx.images import SUFFIXES

_PATH_NAMES = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "img", "picture")
_LABEL_NAMES = ("label", "labels", "class", "class_name", "cls", "category", "target")
_MAX_LINE = 1 << 16
_MAX_LINES = 50_000_000


def list_part(paths: Sequence[Path], cache: Path | None, progress: Progress | None) -> Part:
    """The images of one or several lists; paths are relative to the first one's folder. Raises DataError."""
    root = paths[0].absolute().parent
    rows: dict[str, str] = {}
    skipped: list[Skipped] = []
    for path in paths:
        _read(path, root, rows, skipped)
    index = cache and place(cache, "list", *paths)
    return files_part("csv", ", ".join(map(str, paths)), root, rows, None, skipped, index, progress)


def _read(path: Path, root: Path, rows: dict[str, str], skipped: list[Skipped]) -> None:
    """Adds the label of each path in a list to `rows`, and the lines left out to `skipped`. Raises DataError."""
    folder = path.absolute().parent
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
                why = _take(rows, cells, columns, "" if folder == root else f"{folder}/")
                if why is not None:
                    skipped.append(Skipped(f"{path}, line {reader.line_num}", why))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 (byte {error.start}); save it as such") from error
    except csv.Error as error:
        raise DataError(f"cannot read {path} as CSV ({error}); one line an image: path,label") from error
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check its permissions") from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Lines of bounded length: a file without line ends must not fill the memory."""
    for number in range(1, _MAX_LINES):
        line = file.readline(_MAX_LINE)
        if not line:
            return
        if len(line) == _MAX_LINE and not line.endswith("\n"):
            raise DataError(
                f"line {number} of {path} is longer than {_MAX_LINE} characters; one line an image: path,label"
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
    words = [cell.strip().lower() for cell in cells]
    at = [next((words.index(n) for n in names if n in words), None) for names in (_PATH_NAMES, _LABEL_NAMES)]
    if at[0] is not None and at[1] is not None:
        return (at[0], at[1]), True
    if len(cells) == 2 and Path(words[0]).suffix in SUFFIXES:
        return (0, 1), False
    shown = one_line(", ".join(cells[:4])[:80]) + (", …" if len(cells) > 4 else "")
    raise DataError(
        f"the first line of {path} has {len(cells)} columns ({shown}); expected a header with path and label, or image,label"
    )


def _take(rows: dict[str, str], cells: list[str], columns: tuple[int, int], prefix: str) -> str | None:
    """Puts a line into rows, `prefix` before its path unless that is absolute; the reason when it cannot be."""
    if len(cells) <= max(columns):
        return f"{len(cells)} columns; path and label are needed"
    name, label = (cells[at].strip() for at in columns)
    if not name or not label:
        return "no label" if name else "no path"
    if not name.isprintable() or not is_label(label):
        return "path or label holds control characters, or is too long"
    name = name if os.path.isabs(name) else prefix + name
    if name in rows:
        return f"{name} is listed before" + (f", as {rows[name]}" if rows[name] != label else "")
    rows[name] = label
    return None
