"""The Python and the commands of docs/weights.md run, in order; both pages have the same ones, and the outputs are real."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from plusx.cli import weights as command
from plusx.cli.main import main

pytest.importorskip("torchvision")
DOCS = Path(__file__).resolve().parent.parent / "docs"
MERGED = not hasattr(command, "WAYS") or "convert" in command.WAYS
"""Whether the commands are there: they come with the branch of the command line, and then this always holds."""


def examples(page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_both_pages_have_the_same_examples() -> None:
    assert examples("weights.md") == examples("weights.zh.md")


def test_identify_says_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plusx.weights import identify, lines

    monkeypatch.chdir(tmp_path)
    blocks = examples("weights.md")
    exec(next(code for kind, code in blocks if kind == "python"), {})
    shown = next(code for kind, code in blocks if kind == "text")
    printed = list(lines(identify("norms.pth")))
    assert [line for line in shown.splitlines() if line not in printed] == []
    assert str(identify("epoch9.ckpt").spec) == "resnet18 classes=3"
    assert str(identify("whole.pth").spec) == "resnet50 strides=1,2,1,1 dilations=1,1,2,4 classes=3"


@pytest.mark.skipif(not MERGED, reason="the commands come with the branch of the command line")
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    ran = []
    for kind, code in examples("weights.md"):
        if kind == "python":
            exec(code, {})
        for line in code.splitlines() if kind == "sh" else ():
            words = shlex.split(line)
            assert main(words[1:]) == 0, line
            ran.append(words[2])
    assert set(ran) == {"identify", "guess", "convert", "verify"}
    printed = capsys.readouterr().out.splitlines()
    for kind, code in examples("weights.md"):
        assert kind != "text" or [line for line in code.splitlines() if line not in printed] == []
