"""The standalone page: whole, small, folding without a script, its table adds up."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from plusx import presets
from plusx.analysis import analyse
from plusx.reports.network_page import html

VOID = {"meta", "input", "br"}


class Reader(HTMLParser):
    """Checks that every element is closed in order, and keeps tables and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[list[str]] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1][-1] += data


@pytest.mark.parametrize("name", presets)
def test_pages_are_whole_and_small(name):
    text = html(name)
    assert len(text.encode()) < 200_000
    reader = Reader(text)
    stages = len(analyse(name).graph.stages)
    assert sum(tag == "details" for tag, _ in reader.found) == stages
    assert not re.search(r'(src|href)="|url\(|@import', text)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_table_adds_up(lang):
    analysis = analyse("resnet50")
    _, *rows, total = Reader(html("resnet50", lang=lang)).cells
    numbers = [[int(cell.replace(",", "")) for cell in (row[5], row[6])] for row in rows]
    assert [sum(column) for column in zip(*numbers, strict=True)] == [analysis.totals.params, analysis.totals.macs]
    assert total[5] == "25,557,032" and total[6] == "4,089,184,256"
    assert [row[4] for row in rows[1:5]] == ["35", "91", "267", "427"]
    assert sum(float(row[7].removesuffix(" %")) for row in rows) == pytest.approx(100, abs=0.3)


def test_a_global_field_is_said():
    assert "layer1.0.se" in html("seresnet50") and "35*" in html("seresnet50")
    assert "*</td>" not in html("resnet50")


def test_stages_fold_to_bars_that_keep_their_shortcuts():
    """The folded stage is the summary, the unfolded ones its details; both show every curve."""
    text = html("resnet34")
    for summary in re.findall(r"<summary>(.*?)</summary>", text, re.S):
        assert 'class="identity"' in summary and "Basic block" in summary
    bodies = re.findall(r"</summary>(.*?)</details>", text, re.S)
    assert len(bodies) == 4 and all(body.count('class="stage"') == 2 for body in bodies)
    assert re.findall(r"<details[^>]*>", text) == ["<details open>"] * 4
    assert re.findall(r"<details[^>]*>", html("resnet34", detail="stages")) == ["<details>"] * 4


def test_slices_lie_flush():
    """All slices of one detail are equally wide, and each ends where its wire does, so the trunk is whole."""
    text = html("resnet50")
    assert len(set(re.findall(r'viewBox="0 0 ([\d.]+) ', text))) == 1
    for svg in re.findall(r"<svg.*?</svg>", re.sub(r"<summary>.*?</summary>", "", text, flags=re.S), re.S):
        if 'class="stage"' in svg:
            height = re.search(r'height="(\d+)"', svg)
            wires = [float(y) for y in re.findall(r'class="wire" d="M[\d.]+ [\d.]+L[\d.]+ ([\d.]+)"', svg)]
            assert height and max(wires) == float(height[1])


def test_a_comparison_is_drawn_whole_with_both_tables():
    reader = Reader(html("plain18", diff="resnet18"))
    assert sum(tag == "table" for tag, _ in reader.found) == 2
    assert sum(tag == "svg" for tag, _ in reader.found) == 3
