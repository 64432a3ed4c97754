"""The examples of docs/bend.md run from top to bottom and print what `# →` says; the Chinese page has the same ones."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import plusx
from plusx.bundles import save_bundle
from plusx.cli.main import main
from plusx.images import Preprocessing

DOCS = Path(__file__).resolve().parent.parent / "docs"
ARROW = "# → "


def examples(page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def bare(code: str) -> str:
    """Without comments, which a translation translates, but with what is printed."""
    return re.sub(r"#(?! →).*", "", code).replace(" ", "")


def test_both_pages_have_the_same_examples():
    assert [(kind, bare(code)) for kind, code in examples("bend.md")] == [
        (kind, bare(code)) for kind, code in examples("bend.zh.md")
    ]


def test_the_examples_run_and_print_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net = plusx.build("resnet18 classes=2")
    weights = {key: tensor.numpy() for key, tensor in net.state_dict().items()}
    save_bundle("bundle", net.spec, ["cat", "dog"], Preprocessing("RGB", 96, 96), weights)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (100, 120, 3), np.uint8)).save("image.jpg")
    names: dict[str, object] = {}
    for kind, code in examples("bend.md"):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            if kind == "python":
                exec(code, names)
            else:
                for line in code.splitlines():
                    words = shlex.split(line, comments=True)
                    assert words[0] == "plusx"
                    assert main(words[1:]) == 0
        expected = [line.split(ARROW)[1] for line in code.splitlines() if ARROW in line]
        if expected or kind == "python":
            assert said.getvalue().splitlines() == expected
    assert Path("layer3.safetensors").is_file()
    assert Path("out.png").is_file()
