"""What the command line prints fits 80 columns and speaks the language that was asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from wcwidth import wcswidth

from cli.test_runs_cli import make
from plusx.cli.main import COMMANDS, main, make_parser

CJK = re.compile(r"[\u4e00-\u9fff]")
ENGLISH = re.compile(r"[A-Za-z]+ (?:[a-z]+ )+[a-z]{2,}")
"""Three plain English words in a row."""
QUOTED = re.compile(r"plusx train …|plusx train --resume|state dict|et al\.|arXiv")
"""Code, terms and names of papers, which stay as they are."""
TABLES = {
    "overview": [],
    "presets": ["presets"],
    "keys": ["presets", "--keys"],
    "recipes": ["recipes"],
    "one recipe": ["recipes", "digits"],
    "doctor": ["doctor"],
    "runs": ["runs"],
    "data": ["data", "check", "digits"],
    "show": ["show", "resnet50"],
    "geometry": ["geometry", "resnet50"],
    "diff": ["diff", "resnet50", "resnet50d"],
    "explain": ["explain", "resnet18"],
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch, tmp_path):
    """A terminal of 80 columns, in a folder with two runs of long names."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PLUSX_LANG", raising=False)
    monkeypatch.setenv("PLUSX_CACHE", "cache")  # a path has no place to break
    monkeypatch.chdir(tmp_path)
    for name in ("a_network_on_photos-001", "图像分类-002"):
        make(Path("runs") / name)


def printed(capsys, words: list[str]) -> str:
    try:
        assert main(words) in (0, None)
    except SystemExit as ended:
        assert ended.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_and_is_in_the_language(name, lang, capsys):
    text = printed(capsys, ["--lang", lang, name, "--help"])
    assert [line for line in text.splitlines() if wcswidth(line) > 80] == []
    assert ("选项：" in text) == (lang == "zh") and ("options:" in text) == (lang == "en")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_in_chinese_has_no_english_sentence(name, capsys):
    text = printed(capsys, [name, "--lang", "zh", "--help"])
    assert english(text) == [] and CJK.search(text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_has_a_help_text(name):
    for action in make_parser(name)._actions:
        assert action.help, action.dest


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("table", TABLES)
def test_tables_fit_and_are_in_the_language(table, lang, capsys):
    text = printed(capsys, [*TABLES[table], "--lang", lang])
    assert [line for line in text.splitlines() if wcswidth(line) > 80] == []
    assert bool(CJK.search(text)) == (lang == "zh" or table == "runs")
    if lang == "zh" and table != "data":
        assert english(text) == []


def english(text: str) -> list[str]:
    return [line for line in text.splitlines() if ENGLISH.search(QUOTED.sub("", line))]


def test_columns_of_wide_characters_are_aligned(capsys):
    """A column begins at the same place of the screen in every row, also behind a name of Chinese characters."""
    head, *rows = printed(capsys, ["runs", "--lang", "zh"]).splitlines()[:3]
    assert sum("图像分类-002" in row for row in rows) == 1
    starts = {wcswidth(row[: row.index("75.00%")]) for row in rows}
    assert starts == {wcswidth(head[: head.index("top-1")])}


def test_a_pipe_gets_whole_tables(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    assert "interrupted after step 40, resume with plusx train --resume runs/" in printed(capsys, ["runs"])


@pytest.mark.parametrize(
    "words",
    [
        ["--lang", "zh", "show", "resnet18", "--help"], ["--lang=zh", "--debug", "help", "show"],
        ["--lang", "zh", "show", "help"], ["show", "--lang", "zh", "-h"],
    ],
)  # fmt: skip
def test_the_language_may_stand_anywhere(words, capsys):
    text = printed(capsys, words)
    assert text.startswith("用法：plusx show NETWORK … [-h]") and "预设和 key=value 词" in text


@pytest.mark.parametrize("words", [["--lang", "zh"], ["--lang", "zh", "--help"], ["--lang=zh", "help"]])
def test_the_overview_in_chinese(words, capsys):
    text = printed(capsys, words)
    assert text.startswith("plusx：用一行文字得到任何 ResNet") and english(text) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--lang", "fr"], "plusx: unknown language 'fr'. Allowed: en, zh"),
        (["--lang", "fr", "show", "resnet18"], "plusx: unknown language 'fr'. Allowed: en, zh"),
        (["--lang"], "plusx: --lang needs a value. Write --lang en|zh."),
        (["--lang", "zh", "shw"], "plusx: 未知的 命令：'shw'"),
        (
            ["--lang", "zh", "show"],
            "plusx: show 还缺 NETWORK（预设和 key=value 词、.toml 或 .json 文件、模型包、训练运行、权重文件或 FILE.py:NAME）。",
        ),
        (
            ["--lang", "zh", "predict", "b", "x", "--top", "1.5"],
            "plusx: --top 应为整数（1 到 1000000），而不是 '1.5'。",
        ),
        (["--lang", "zh", "show", "resnet18", "-o", "a.xlsx"], "plusx: -o a.xlsx 以 .xlsx 结尾"),
    ],
)
def test_errors_are_in_the_language(words, line, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(line)


def test_json_is_the_same_in_both_languages(capsys):
    for words in (["presets", "--keys"], ["recipes"], ["runs"]):
        texts = [printed(capsys, [*words, "--format", "json", "--lang", lang]) for lang in ("en", "zh")]
        assert texts[0] == texts[1] and json.loads(texts[0])
