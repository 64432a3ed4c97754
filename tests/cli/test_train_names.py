"""Classes and files whose names are no UTF-8, or hold escape codes, from training to prediction."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.bundles import open_bundle
from plusx.cli.main import main

CLASSES = (b"caf\xe9", b"b\x1b[31m\nc", "汉字".encode())
NETWORK = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4".split()


@pytest.mark.skipif(os.name != "posix", reason="file names are text there")
def test_a_training_on_names_that_are_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    draw, raw = np.random.default_rng(0), os.fsencode(tmp_path)
    for name in CLASSES:
        os.makedirs(raw + b"/photos/" + name)
        for number in range(10):
            Image.fromarray(draw.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save("one.png")
            os.rename("one.png", raw + b"/photos/" + name + b"/i\xff%d.png" % number)
    quiet = ["--device", "cpu", "--threads", "1", "--workers", "0"]
    assert main(["train", *NETWORK, "--data", "photos", "--epochs", "1", "--size", "16", "--out", "run", *quiet]) == 0
    assert {os.fsencode(name) for name in open_bundle("run").classes} == set(CLASSES)
    assert main(["train", "--resume", "run"]) == 0
    assert main(["evaluate", "run", "--data", "photos"]) == 0
    said = capsys.readouterr()
    assert "caf\\xe9" in said.out and "汉字" in said.out and "\x1b[31m" not in said.out + said.err
    assert main(["predict", "run", "photos", "-o", "rows.csv"]) == 0
    rows = Path("rows.csv").read_bytes()
    assert rows.count(b"i\xff") == 30 and b"caf\xe9" in rows
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert "caf\\xe9" in page and "\x1b" not in page
