"""What a session and a notebook show for results: a few lines as text, a table or a drawing as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

import plusx
from plusx.metrics import Counters


@pytest.mark.parametrize("name", ["resnet18", "resnet152", "preresnet1001"])
def test_an_analysis_is_a_few_lines(name):
    """The figures of resnet152 are torchvision's: 60,192,808 parameters and 11.514 GMACs."""
    text = repr(plusx.analyse(name))
    assert len(text) < 400 and text.count("\n") == 4
    if name == "resnet152":
        assert "60,192,808 params, 11,513,626,624 MACs" in text


@pytest.mark.parametrize(
    "pair", [("resnet50", "resnet152 gate=se"), ("plain18", "preresnet1001"), ("resnet18", "resnet18")]
)
def test_a_diff_is_a_few_lines(pair):
    text = repr(plusx.diff(*pair, 64))
    assert len(text) < 700 and text.count("\n") == 4
    assert ("keys: equal" in text) == (pair[0] == pair[1])


def test_an_evaluation_is_a_few_lines():
    counters = Counters([f"class {i}" for i in range(1000)])
    assert repr(counters.result()).count("\n") == 2 and "top-1 -" in repr(counters.result())
    counters.add([[0.0] * 7 + [1.0] + [0.0] * 992] * 4, [7, 7, 7, 8])
    text = repr(counters.result())
    assert "4 images, 1,000 classes" in text and "top-1 75.00%" in text and len(text) < 300


class Balanced(HTMLParser):
    """Fails on a tag that is not closed in order; keeps the texts of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_analyses_and_diffs_are_tables_in_a_notebook(monkeypatch):
    monkeypatch.delenv("PLUSX_LANG", raising=False)
    shown = Balanced(plusx.analyse("resnet50")._repr_html_() or "")
    assert {"25,557,032", "4,089,184,256", "receptive field"} & set(shown.texts) >= {"25,557,032", "4,089,184,256"}
    shown = Balanced(plusx.diff("resnet50 stride_in=1x1", "resnet50")._repr_html_() or "")
    assert "+231,211,008 (+5.99 %)" in shown.texts
    assert "No difference: both are resnet18." in Balanced(plusx.diff("resnet18", "resnet18")._repr_html_() or "").texts
    monkeypatch.setenv("PLUSX_LANG", "zh")
    assert "感受野" in Balanced(plusx.analyse("resnet50")._repr_html_() or "").texts
    assert plusx.analyse("resnet50")._repr_svg_() is None


def test_networks_and_drawings_are_drawn_in_a_notebook():
    for shown in (plusx.spec("resnet18"), plusx.lower("resnet18"), plusx.draw("resnet18")):
        assert ElementTree.fromstring(shown._repr_svg_() or "").tag.endswith("svg")
