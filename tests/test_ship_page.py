"""The commands and the Python of docs/ship.md run, in order, on a network of digits; the Chinese page has the same ones."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from plusx.cli.main import main
from shipping import copy_bare

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")

DOCS = Path(__file__).resolve().parent.parent / "docs"
QUICK = {"bench": ["--force", "--rounds", "1", "--seconds", "0.02"], "tune": ["--seconds", "0.02"]}


def examples(page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert not re.findall(r"^    plusx ", text, re.MULTILINE), "a command outside a fence is not run"
    return re.findall(r"^```(\w[\w ]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def bare(code: str) -> str:
    return re.sub(r"#.*", "", code).replace(" ", "")


def test_both_pages_have_the_same_examples() -> None:
    pages = [[(kind, bare(code)) for kind, code in examples(page)] for page in ("ship.md", "ship.zh.md")]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "without", [pytest.param({"bench"}, id="but for bench"), pytest.param(set(), id="all", marks=pytest.mark.slow)]
)
def test_the_page_runs(
    without: set[str], run: Path, digits: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bench measures in new processes, each of which imports an engine; tests/deploy/test_measuring.py holds what it says."""
    pytest.importorskip("nncf")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    for path in digits:
        os.link(path, tmp_path / "new" / path.name)
    Image.open(digits[0]).save("a.jpg")
    Image.open(digits[1]).save("b.png")
    copy_bare(run, tmp_path / "runs" / "photos")
    ran = []
    for kind, code in examples("ship.md"):
        if kind == "python":
            exec(code, {})
        elif kind == "sh":
            for line in code.splitlines():
                words = shlex.split(line.replace("layer4", "layer3"), comments=True)  # digits' network has three
                if words[0] == "plusx" and words[1] not in without:
                    assert main([*words[1:], *QUICK.get(words[1], [])]) == 0, line
                    ran.append(words[1])
    assert {"predict", "embed", "export", "tune", "bench"} - without <= set(ran)
    rows = (tmp_path / "predictions.csv").read_text().splitlines()
    assert len(rows) == 1 + len(digits)
    right = sum(row.split(",")[2] == Path(row.split(",")[0]).stem[-1] for row in rows[1:])
    assert right >= 0.9 * len(digits), "the page's network names digits wrongly"
    for made in ("vectors.npy", "vectors.csv", "photos-onnx/model.onnx", "photos/photos/config.pbtxt", "sorted"):
        assert (tmp_path / made).exists(), made
