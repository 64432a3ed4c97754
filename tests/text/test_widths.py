"""Tables and paragraphs fit the terminal: no line is wider, no word is broken, and a pipe gets everything."""

from __future__ import annotations

import re

import pytest
from wcwidth import wcswidth

from plusx.analysis import analyse
from plusx.analysis.diff import diff
from plusx.cli.main import main
from plusx.i18n import translator
from plusx.text.alignment import aligned, fitted, paragraph, wrapped
from plusx.text.diff_table import diff_table
from plusx.text.geometry_table import geometry_table
from plusx.text.network_table import table
from plusx.text.presets_table import keys_table, presets_table

NAMES = ("resnet18", "resnet152", "seresnet50", "preresnet110", "resnet50_siamrpn")
WIDTHS = (60, 80, 100, 132)


def shown(name: str, width: int | None, lang: str = "en") -> list[str]:
    """Every table of a network and of its difference from another."""
    say, found = translator(lang), analyse(name)
    texts = [
        *(table(found, detail, say, width=width) for detail in ("stages", "blocks", "ops")),
        geometry_table(found, say, width=width),
        diff_table(diff(name, "resnet50 stem=deep", 224), say, width=width),
    ]
    return [line for text in texts for line in text.splitlines()]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_wider_than_the_terminal(name, width, lang):
    assert [line for line in shown(name, width, lang) if wcswidth(line) > width] == []


@pytest.mark.parametrize("width", [20, *WIDTHS])
@pytest.mark.parametrize("name", NAMES)
def test_no_word_is_broken(name, width):
    """What stands between spaces on a narrow terminal stands so in the whole table; only the note of what is hidden is new."""
    whole = {word for line in shown(name, None) for word in line.split()}
    note = set(
        "Columns that do not fit this width: layers, share, stride, rf, out, centre of cell 0, input, dilation, depends on".split()
    )
    narrow = {word for line in shown(name, width) for word in line.split()}
    assert {word.rstrip(".,") for word in narrow - whole - note} <= {word.rstrip(".,") for word in note}


def test_a_pipe_gets_every_column(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["show", "resnet50", "--lang", "en"]) == 0
    assert capsys.readouterr().out == table(analyse("resnet50"))


def test_columns_sets_the_width_and_a_file_stays_whole(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    for words in (["show", "resnet50"], ["geometry", "resnet50"], ["explain", "resnet50"], ["presets"],
                  ["diff", "resnet50", "resnet101"], ["show", "resnet50", "--lang", "zh"]):  # fmt: skip
        assert main(words) == 0
        out = capsys.readouterr().out
        assert max(map(wcswidth, out.splitlines())) <= 80, words
    assert main(["show", "resnet50", "-o", str(tmp_path / "t.txt"), "--lang", "en"]) == 0
    assert (tmp_path / "t.txt").read_text(encoding="utf-8") == table(analyse("resnet50"))


def test_hidden_columns_are_named_and_the_costs_stay():
    text = table(analyse("resnet50"), width=80)
    assert "Columns that do not fit this width: layers, share, stride, rf." in text
    assert "25,557,032  4,089,184,256" in text
    assert "Columns that do not fit" not in table(analyse("resnet50"), width=132)
    assert "此宽度放不下的列：层号, 占比, 步长, 感受野。" in table(
        analyse("resnet50"), translate=translator("zh"), width=80
    )


def test_presets_and_keys_fit_too():
    for text in (presets_table(width=80), keys_table(width=80), keys_table(translator("zh"), 80)):
        assert max(map(wcswidth, text.splitlines())) <= 80
    assert "He et al. 2015, arXiv 1512.03385" in re.sub(r"\s+", " ", presets_table())


def test_columns_are_hidden_in_order_and_only_as_many_as_needed():
    heads, rows = ["aaaa", "bbbb", "cccc"], [["1", "2", "3"]]
    widths = {width: fitted(heads, rows, [False] * 3, width, drop=(1, 0)).hidden for width in (16, 15, 10, 9, 4)}
    assert widths == {16: [], 15: [1], 10: [1], 9: [1, 0], 4: [1, 0]}
    assert fitted(heads, rows, [False] * 3, None, drop=(1, 0)) == (aligned(heads, rows, [False] * 3), [])


def test_wrapped_columns_share_the_room():
    long = "one two three four five six seven eight nine ten"
    lines = fitted(["a", "b"], [[long, long]], [False] * 2, 60, wrap=(0, 1)).lines
    assert max(map(len, lines)) <= 60
    assert " ".join(line[:31].strip() for line in lines[1:]).split() == long.split()


def test_lines_break_at_words_and_not_before_a_unit_or_closing_punctuation():
    assert wrapped("it is 31 px wide", 9) == ["it is", "31 px", "wide"]
    assert wrapped("多 6.0 %，即", 6) == ["多", "6.0 %，", "即"]
    assert wrapped("步长（像素）", 4) == ["步长", "（像", "素）"]
    assert paragraph("a long line", None, "  ", "") == ["a long line"]
