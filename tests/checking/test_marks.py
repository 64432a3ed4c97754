"""The places of the findings are marked in the drawing of the nearest network."""

from __future__ import annotations

import pytest
from planted import PLANTED
from reading_here import check_file

from plusx.svg.render import draw

UNMARKED = ("unused", "name", "plain_named")
"""What concerns no op of the nearest network."""
SEEN = (
    "ReLU before the addition",
    "no norm on the projection",
    "momentum as in TensorFlow",
    "in-place ReLU on the shortcut's input",
)


@pytest.mark.parametrize(
    "planted",
    [pytest.param(each, marks=() if each.name in SEEN else pytest.mark.slow) for each in PLANTED],
    ids=lambda each: each.name,
)
def test_each_mark_is_drawn(planted, tmp_path):
    file = tmp_path / "net.py"
    file.write_text(planted.source, encoding="utf-8")
    found = check_file(file, planted.made)
    if found.read.failure is not None or planted.code in UNMARKED:
        assert found.marks == frozenset()
        return
    assert found.marks
    nothing = draw(found.spec, fold=False, marks=frozenset(["no/place"]))
    for mark in found.marks:
        assert len(draw(found.spec, fold=False, marks=frozenset([mark]))) > len(nothing), mark
