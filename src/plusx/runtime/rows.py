"""Predictions as lines of CSV or JSON, and resuming a file that is only half written."""

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
from plusx.files import json_text
from plusx.i18n import Message, _
from plusx.runtime.inputs import Item
from plusx.runtime.predicting import Prediction

FORMATS = ("csv", "jsonl")
_NEAR = 1e-5
"""By how much probabilities of the same network and image may differ between two runs (CSV has six digits)."""


def csv_header(columns: int) -> str:
    """CSV's first line, for `columns` classes a row."""
    return csv_line(["path", "error", *(f"{what}{i}" for i in range(1, columns + 1) for what in ("class", "p"))])


def format_row(row: Prediction, form: str, columns: int) -> str:
    """A row as "csv" or "jsonl", without line end."""
    if form == "jsonl":
        top = [{"class": name, "p": p} for name, p in row.top]
        return json_text({"path": row.path, "error": row.error, "top": top})
    cells = [cell for name, p in row.top for cell in (name, f"{p:.6g}")]
    return csv_line([row.path, row.error or "", *cells, *[""] * (2 * columns - len(cells))])


def csv_line(cells: Sequence[str]) -> str:
    """A record of CSV without its line end; cells that hold line ends are quoted, so it stays one record."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)  # it quotes the characters of its own line end, which is \r\n
    return text.getvalue().removesuffix("\r\n")


def parse_row(text: str, form: str) -> Prediction:
    """The inverse of `format_row`. Raises DataError."""
    try:
        if form == "jsonl":
            row = json.loads(text)
            return Prediction(row["path"], row["error"], tuple((t["class"], float(t["p"])) for t in row["top"]))
        cells = next(csv.reader([text], strict=True))
        pairs = zip(cells[2::2], cells[3::2], strict=True)
        return Prediction(cells[0], cells[1] or None, tuple((name, float(p)) for name, p in pairs if name or p))
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, RecursionError, csv.Error) as error:
        raise DataError(
            _("The row {text!r} cannot be read. Delete the file and run the command again.", text=text[:60])
        ) from error


@dataclass
class ResumedItems:
    """The items left to do. Where `last` is not None, the first of them has that row already, to be compared with it."""

    items: Iterator[Item]
    done: int
    good: int
    last: Prediction | None


def resume(path: Path, form: str, items: Iterable[Item], columns: int) -> ResumedItems:
    """Truncate a half-written file to its whole rows, and skip their items.

    The last row that has classes is compared with what is computed now (`check_same_row`), which finds another network
    or other images; an image that cannot be read gives the same row with every network. Raises DataError when the
    file's rows are not of these items.
    """
    waiting = iter(items)
    if not path.is_file() or not path.stat().st_size:
        return ResumedItems(waiting, 0, 0, None)
    done = good = end = 0
    last: tuple[Item, Prediction] | None = None
    for number, (text, stop) in enumerate(whole_records(path, form)):
        if form == "csv" and not number:
            if text != csv_header(columns):
                raise _other(path, _("its columns differ"))
        else:
            row, item = parse_row(text, form), next(waiting, None)
            if item is None or item.name != row.path:
                raise _other(
                    path,
                    _(
                        "row {n} is of {found!r}, not of {wanted!r}",
                        n=done + 1,
                        found=row.path,
                        wanted=item and item.name,
                    ),
                )
            done, good = done + 1, good + (row.error is None)
            if row.top:
                last = item, row
        end = stop
    os.truncate(path, end)
    if last is None:
        return ResumedItems(waiting, 0, 0, None)
    return ResumedItems(chain([last[0]], waiting), done, good, last[1])


def check_same_row(path: Path, before: Prediction, now: Prediction) -> None:
    """Raise DataError unless a row computed again is the one in the file."""
    close = len(before.top) == len(now.top) and all(
        a == b and abs(p - q) <= _NEAR for (a, p), (b, q) in zip(before.top, now.top, strict=True)
    )
    if not close or (before.error is None) != (now.error is None):
        raise _other(path, _("{name!r} gives another row now, so the network or its options differ", name=now.path))


def _other(path: Path, why: Message) -> DataError:
    return DataError(
        _(
            "{path} cannot be resumed: {why}. Run the same command as before, or write to another -o FILE.",
            path=path,
            why=why,
        )
    )


def whole_records(path: Path, form: str) -> Iterator[tuple[str, int]]:
    """(text, offset after it) of each whole record; a record that a kill cut short is not among them.

    A CSV record may hold line ends inside quotes: it is whole when its quotes are even.
    """
    at, parts, quotes = 0, list[bytes](), 0
    with path.open("rb") as file:
        for raw in file:
            parts.append(raw)
            at += len(raw)
            quotes += raw.count(b'"')
            if not raw.endswith(b"\n"):
                return
            if form == "csv" and quotes % 2:
                continue
            yield b"".join(parts)[:-1].decode("utf-8", "surrogateescape"), at
            parts, quotes = [], 0
