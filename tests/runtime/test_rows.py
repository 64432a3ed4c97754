"""Rows on disk, and going on after a kill at any byte."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from plusx.errors import DataError
from plusx.runtime import Item, Prediction
from plusx.runtime.rows import check_same_row, csv_header, format_row, parse_row, resume

ROWS = [
    Prediction("a.jpg", None, (("cat", 0.75), ("dog", 0.25))),
    Prediction('odd "name",\n2.jpg', None, (('a "class"', 0.9), ("b,\nc", 0.1))),
    Prediction("b.jpg", "damaged JPEG (premature end)"),
    Prediction("\udcff.jpg", None, (("猫", 0.5), ("dog", 0.5))),
    Prediction("last.jpg", None, (("dog", 1.0), ("cat", 1e-9))),
]
ITEMS = [Item(row.path, None) for row in ROWS]


def text(form: str, rows: list[Prediction]) -> bytes:
    lines = [csv_header(2)] if form == "csv" else []
    return "".join(f"{x}\n" for x in [*lines, *(format_row(row, form, 2) for row in rows)]).encode(
        "utf-8", "surrogateescape"
    )


def test_csv_reads_as_csv_and_jsonl_as_json() -> None:
    read = list(csv.DictReader(io.StringIO(text("csv", ROWS).decode("utf-8", "surrogateescape"), newline="")))
    assert [row["path"] for row in read] == [row.path for row in ROWS]
    assert (read[0]["class1"], read[0]["p1"], read[2]["error"], read[2]["class1"]) == ("cat", "0.75", ROWS[2].error, "")
    objects = [json.loads(x) for x in text("jsonl", ROWS).splitlines()]
    assert objects[1]["top"] == [{"class": 'a "class"', "p": 0.9}, {"class": "b,\nc", "p": 0.1}]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_lines_parse_back(form: str) -> None:
    for row in ROWS:
        assert parse_row(format_row(row, form, 2), form) == row
    for bad in ('{"path": 1', "[]", '"a'):
        with pytest.raises(DataError):
            parse_row(bad, form)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_kill_at_any_byte_costs_nothing(form: str, tmp_path: Path) -> None:
    """However much of the file is left, going on gives the whole file, byte for byte."""
    whole, path = text(form, ROWS), tmp_path / f"out.{form}"
    for kept in range(len(whole) + 1):
        path.write_bytes(whole[:kept])
        left = resume(path, form, iter(ITEMS), 2)
        todo = [item.name for item in left.items]
        rows = [row for row in ROWS if row.path in todo]
        if left.last is not None:
            check_same_row(path, left.last, rows[0])
            rows = rows[1:]
        with path.open("ab") as file:
            begun = path.stat().st_size > 0
            file.write(text(form, rows) if not begun else text(form, rows).removeprefix(text(form, [])))
        assert path.read_bytes() == whole, kept
        assert left.done == len(ROWS) - len(rows)
        assert left.good == sum(row.error is None for row in ROWS[: left.done])


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_other_images_are_refused(form: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(text(form, ROWS))
    before = path.read_bytes()
    for items in (ITEMS[1:], ITEMS[:3], [*ITEMS[:2], Item("new.jpg", None), *ITEMS[2:]]):
        with pytest.raises(DataError, match="cannot be resumed: row"):
            resume(path, form, iter(items), 2)
        assert path.read_bytes() == before, "a refusal must not cost what was there"
    with pytest.raises(DataError, match="its columns differ"):
        resume(path, "csv", iter(ITEMS), 3)


def test_another_network_is_refused() -> None:
    row = ROWS[0]
    check_same_row(Path("x"), row, replace(row, top=(("cat", 0.750004), ("dog", 0.25))))
    for other in (
        replace(row, top=(("cat", 0.7501), ("dog", 0.2499))),
        replace(row, top=row.top[::-1]),
        replace(row, error="torn", top=()),
        replace(row, top=row.top[:1]),
    ):
        with pytest.raises(DataError, match="gives another row now"):
            check_same_row(Path("x"), row, other)


def test_an_absent_or_empty_file_is_begun(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    for name in ("absent.csv", "empty.csv"):
        left = resume(tmp_path / name, "csv", iter(ITEMS), 2)
        assert (left.done, left.last, len(list(left.items))) == (0, None, len(ITEMS))
