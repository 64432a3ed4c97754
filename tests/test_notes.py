"""docs/notes.md and notes.zh.md: every command runs and prints what is quoted; both languages ask the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from plusx.cli.main import main

DOCS = Path(__file__).resolve().parent.parent / "docs"
FILES = ("notes.md", "notes.zh.md")


class Row(NamedTuple):
    file: str
    number: str
    claim: str
    command: str
    quoted: tuple[str, ...]
    verdict: str


def rows(file: str) -> list[Row]:
    """The table lines that hold a command."""
    found = []
    for line in (DOCS / file).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        command = next((cell for cell in cells if cell.startswith("`plusx ")), None)
        if not line.startswith("|") or command is None:
            continue
        place = cells.index(command)
        quoted = tuple(re.findall(r"`([^`]+)`", cells[place + 1]))
        number = cells[0] if place > 1 else f"figure {len(found)}"
        found.append(Row(file, number, cells[place - 1], command.strip("`"), quoted, cells[-1]))
    return found


ALL = [row for file in FILES for row in rows(file)]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("row", ALL, ids=lambda row: f"{row.file}-{row.number}")
def test_the_command_prints_what_is_quoted(row, capsys, monkeypatch):
    monkeypatch.delenv("PLUSX_LANG", raising=False)
    program, *words = shlex.split(row.command)
    assert program == "plusx"
    assert main(words) == 0
    out = squeezed(capsys.readouterr().out)
    assert row.quoted, "nothing is quoted"
    for text in row.quoted:
        assert squeezed(text) in out, f"{text!r} is not printed by {row.command}"


def test_every_sentence_has_a_verdict_and_corrections_have_a_source():
    for row in ALL:
        if row.number.startswith("figure"):
            assert (DOCS / re.search(r"\((drawings/[^)]+)\)", row.verdict)[1]).is_file()
            continue
        assert re.search(r"[Hh]olds|Corrected|成立|更正|It builds|可以", row.verdict), row.number


def test_both_languages_ask_the_same():
    english, chinese = (rows(file) for file in FILES)
    assert [row.number for row in english] == [row.number for row in chinese]
    assert [row.command for row in english] == [row.command.replace(" --lang zh", "") for row in chinese]
    assert len(english) >= 40


def test_the_known_corrections_are_there():
    verdicts = {row.number: row.verdict for row in rows("notes.md")}
    assert "the last 1 is fc" in verdicts["B9"]
    assert "by three" in verdicts["B23"]
    assert "64 to 256, four times" in verdicts["B17"]
    assert "not a theorem" in verdicts["A3"]
    assert "up to 1.1" in verdicts["A7"]
