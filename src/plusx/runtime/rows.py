"""Predictions as lines of CSV or JSON, and going on with a file that was left half written."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from plusx.errors import DataError
from plusx.runtime.inputs import Item
from plusx.runtime.predicting import Prediction

FORMATS = ("csv", "jsonl")
_NEAR = 1e-5
"""By how much probabilities of the same network and image may differ between two starts (CSV keeps six digits)."""


def header(columns: int) -> str:
    """CSV's first line, for `columns` classes a row."""
    return csv_line(["path", "error", *(f"{what}{i}" for i in range(1, columns + 1) for what in ("class", "p"))])


def line(row: Prediction, form: str, columns: int) -> str:
    """A row as "csv" or "jsonl", without line end."""
    if form == "jsonl":
        top = [{"class": name, "p": p} for name, p in row.top]
        # a file name that is no UTF-8 is written escaped, so that every line stays JSON
        return json.dumps({"path": row.path, "error": row.error, "top": top}, ensure_ascii=not _is_utf8(row.path))
    cells = [cell for name, p in row.top for cell in (name, f"{p:.6g}")]
    return csv_line([row.path, row.error or "", *cells, *[""] * (2 * columns - len(cells))])


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def parse(text: str, form: str) -> Prediction:
    """The inverse of `line`. Raises DataError."""
    try:
        if form == "jsonl":
            row = json.loads(text)
            return Prediction(row["path"], row["error"], tuple((t["class"], float(t["p"])) for t in row["top"]))
        cells = next(csv.reader([text], strict=True))
        pairs = zip(cells[2::2], cells[3::2], strict=True)
        return Prediction(cells[0], cells[1] or None, tuple((name, float(p)) for name, p in pairs if name or p))
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, csv.Error) as error:
        raise DataError(f"a row cannot be read ({text[:60]!r})") from error


@dataclass
class Resumed:
    """What is left to do: `items`, the first of them having its row already (`last`), to see that the same comes out."""

    items: Iterator[Item]
    done: int
    good: int
    last: Prediction | None


def resume(path: Path, form: str, items: Iterable[Item], columns: int) -> Resumed:
    """Cut a half-written file to its whole rows and skip their items.

    The last whole row is compared with what is computed now (`same`), so another network or other images are found
    out. Raises DataError when the file's rows are not of these items.
    """
    waiting = iter(items)
    if not path.is_file() or not path.stat().st_size:
        return Resumed(waiting, 0, 0, None)
    done = good = end = 0
    last: tuple[Item, Prediction] | None = None
    for number, (text, stop) in enumerate(_records(path, form)):
        if form == "csv" and not number:
            if text != header(columns):
                raise _other(path, "its columns are others")
        else:
            row, item = parse(text, form), next(waiting, None)
            if item is None or item.name != row.path:
                raise _other(path, f"row {done + 1} is of {row.path!r}, not of {item.name if item else None!r}")
            done, good, last = done + 1, good + (row.error is None), (item, row)
        end = stop
    os.truncate(path, end)
    if last is None:
        return Resumed(waiting, 0, 0, None)
    return Resumed(chain([last[0]], waiting), done, good, last[1])


def same(path: Path, before: Prediction, now: Prediction) -> None:
    """Raise DataError unless a row computed again is the one in the file."""
    close = len(before.top) == len(now.top) and all(
        a == b and abs(p - q) <= _NEAR for (a, p), (b, q) in zip(before.top, now.top, strict=True)
    )
    if not close or (before.error is None) != (now.error is None):
        raise _other(path, f"{now.path!r} comes out otherwise now, so the network or its settings differ")


def _other(path: Path, why: str) -> DataError:
    return DataError(f"{path} cannot be continued: {why}; run the same command as before, or write to another -o FILE")


def _records(path: Path, form: str) -> Iterator[tuple[str, int]]:
    """(text, offset behind it) of each whole record; what a kill cut short is not among them.

    A CSV record may hold line ends inside quotes: it is whole when its quotes are even.
    """
    at, parts = 0, b""
    with path.open("rb") as file:
        for raw in file:
            parts += raw
            at += len(raw)
            if not raw.endswith(b"\n"):
                return
            if form == "csv" and parts.count(b'"') % 2:
                continue
            yield parts[:-1].decode("utf-8", "surrogateescape"), at
            parts = b""
