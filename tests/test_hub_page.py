"""docs/hub.md and docs/hub-table.md: what they say is what the code does. Nothing is downloaded."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from plusx.cli.main import main, make_parser
from plusx.weights.hub.entries import ENTRIES
from plusx.weights.hub.names import read_name

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import hub_table  # noqa: E402

PAGES = ("hub.md", "hub.zh.md")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def examples(name: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", hub_table.PAGES)
def test_the_committed_table_is_current(name: str) -> None:
    assert page(name) == hub_table.page(hub_table.PAGES[name]), "run scripts/hub_table.py"


@pytest.mark.parametrize("name", hub_table.PAGES)
def test_each_name_has_a_row_with_its_address(name: str) -> None:
    rows = dict(re.findall(r"^\| \[`(.+?)`\]\((.+?)\)", page(name), re.MULTILINE))
    assert rows == {name: entry.files[0].url for name, entry in ENTRIES.items()}


def test_both_pages_have_the_same_examples() -> None:
    assert examples(PAGES[0]) == examples(PAGES[1])


def test_the_commands_are_written_as_they_are_read() -> None:
    for line in (line for kind, code in examples(PAGES[0]) if kind == "sh" for line in code.splitlines()):
        words = shlex.split(line.removeprefix("PLUSX_OFFLINE=1 "))[1:]
        name = " ".join(words[:2]) if words[0] == "weights" else words[0]
        make_parser(name).read(words[len(name.split()) :])


@pytest.mark.parametrize("name", PAGES)
def test_the_names_of_the_page_mean_something(name: str) -> None:
    found: list[str] = re.findall(r"`((?:torchvision|timm|keras)/[\w.:]+)`", page(name))
    assert len(found) >= 4
    assert [word for word in found if read_name(word).entry is None] == []


def test_offline_says_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("HOME", "TORCH_HOME", "XDG_CACHE_HOME", "KERAS_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / ".cache/plusx"))
    monkeypatch.setenv("PLUSX_OFFLINE", "1")
    assert main(["weights", "fetch", "torchvision/resnet18"]) == 2
    (text,) = (code for kind, code in examples(PAGES[0]) if kind == "text")
    assert capsys.readouterr().err.replace(str(tmp_path), "~") == text


@pytest.mark.parametrize("name", PAGES)
def test_every_key_of_the_list_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list", "--format", "json"]) == 0
    section = page(name).partition("## JSON")[2]
    for record in json.loads(capsys.readouterr().out):
        keys = {*record, *(record["hash"] or ()), *record["frozen"]}
        assert [key for key in keys if not re.search(rf"\b{key}(?![a-z])", section)] == []
