"""docs/weights-table.md is what the code says; its cells are those that test_convert.py holds by hand and converts."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from test_convert import ORDER, TABLE

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import weights_table  # noqa: E402

WORDS = {
    "weights-table.md": {"**yes**": "expressible", "**folded**": "after folding", "no": "refused"},
    "weights-table.zh.md": {"**是**": "expressible", "**折叠**": "after folding", "否": "refused"},
}


@pytest.mark.parametrize("name", weights_table.PAGES)
def test_the_committed_page_is_current(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == weights_table.page(weights_table.PAGES[name]), "run scripts/weights_table.py"


@pytest.mark.parametrize("name", WORDS)
def test_the_page_has_the_cells_of_the_table_by_hand(name: str) -> None:
    lines = (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()
    heads = next(re.findall(r"\w+", line) for line in lines if "torchvision |" in line)
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    assert tuple(heads[-7:]) == ORDER
    assert {row[0].strip("`"): tuple(WORDS[name][cell] for cell in row[1:]) for row in rows} == TABLE


def test_every_refusal_has_its_reason() -> None:
    text = (ROOT / "docs" / "weights-table.md").read_text(encoding="utf-8")
    reasons = text.partition("## Reasons")[2]
    for words, cells in TABLE.items():
        line = next((line for line in reasons.splitlines() if line.startswith(f"- `{words}`:")), "")
        for target, cell in zip(ORDER, cells, strict=True):
            assert (re.search(rf"\b{target}\b", line) is not None) == (cell != "expressible"), (words, target)
