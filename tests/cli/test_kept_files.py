"""-o never overwrites what a command reads, and a failed write leaves the old file."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.bundles import save_bundle
from plusx.cli.main import main
from plusx.images import Preprocessing
from plusx.nn import build
from plusx.runtime.prediction_files import PredictionWriter
from plusx.runtime.vector_files import NpyVectors
from plusx.specs import parse

QUICK = ["--engine", "openvino", "--threads", "1"]
WEIGHTS = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 classes=2"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = parse(WEIGHTS)
    for name, seed in (("b", 0), ("other", 1)):
        import torch

        torch.manual_seed(seed)
        weights = {key: tensor.numpy() for key, tensor in build(spec).state_dict().items()}
        save_bundle(name, spec, ["a", "b"], Preprocessing("RGB", 32, 32), weights)
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(image).save(f"{number}.png")
    shutil.copy("b/weights.safetensors", "w.safetensors")
    Path("net.txt").write_text("old")
    os.symlink("0.png", "link.png")
    return tmp_path


def contents(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        ["cam", "b", "0.png", "-o", "0.png"],
        ["cam", "b", "0.png", "-o", "link.png"],
        ["cam", "b", "link.png", "-o", "./0.png"],
        ["predict", "b", "0.png", "net.txt", "-o", "net.txt"],
        ["predict", "b", "0.png", "-o", "b/rows.csv"],
        ["embed", "b", "0.png", "-o", "b/deep.npy"],
        ["show", "b", "-o", "b/bundle.json", "--format", "json"],
        ["weights", "cut", "w.safetensors", "--until", "layer1", "-o", "w.safetensors"],
        ["weights", "convert", "w.safetensors", "--to", "timm", "-o", "w.safetensors"],
        ["weights", "convert", "b/weights.safetensors", "--to", "huggingface", "-o", "b"],
        ["weights", "bundle", "b/weights.safetensors", "-o", "b"],
    ],
)
def test_an_input_is_never_overwritten(words, here, capsys):
    before = contents(here)
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("plusx: ") and "cannot be written" in err and err.count("\n") == 1
    assert contents(here) == before


def test_what_is_no_input_is_written(here):
    Path("net.txt").write_text("old")
    assert main(["show", "b", "-o", "net.txt"]) == 0
    assert main(["predict", "b", ".", "-o", "rows.csv", *QUICK]) == 0
    assert main(["predict", "b", ".", "-o", "rows.csv", *QUICK]) == 0
    assert main(["cam", "b", "0.png", "-o", "out.png"]) == 0
    assert main(["cam", "b", "0.png", "-o", "out.png"]) == 0
    assert "old" not in Path("net.txt").read_text()


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.txt", "o.parquet", "o.npy"])
def test_a_full_disk_leaves_the_old_file(name, here, capsys, monkeypatch):
    command = "embed" if name.endswith(".npy") else "predict"
    words = [command, "b", "0.png", "1.png", "2.png", "-o", name, *QUICK]
    assert main(words) == 0
    before = contents(here)
    kind = NpyVectors if command == "embed" else PredictionWriter
    write, written = kind.write, []

    def full(self, row):
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(row)
        write(self, row)

    monkeypatch.setattr(kind, "write", full)
    assert main([*words[:1], "other", *words[2:]]) == 3
    assert "The disk is full." in capsys.readouterr().err
    assert contents(here) == before
    monkeypatch.setattr(kind, "write", write)
    assert main([*words[:1], "other", *words[2:]]) == 0
    assert contents(here).keys() == before.keys() and contents(here) != before


def test_rows_before_ctrl_c_are_kept_and_can_be_resumed(here, monkeypatch):
    words = ["predict", "b", "0.png", "1.png", "2.png", "-o", "o.csv", *QUICK]
    assert main(words) == 0
    whole = Path("o.csv").read_bytes()
    write, written = PredictionWriter.write, []

    def stopped(self, row):
        if written:
            raise KeyboardInterrupt
        written.append(row)
        write(self, row)

    monkeypatch.setattr(PredictionWriter, "write", stopped)
    assert main(words) == 130
    assert Path("o.csv").read_bytes() == whole[: whole.index(b"1.png")]
    monkeypatch.setattr(PredictionWriter, "write", write)
    assert main([*words, "--resume"]) == 0
    assert Path("o.csv").read_bytes() == whole


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("last", ["broken.png", "2.png"])
@pytest.mark.parametrize("rest", [[], ["--threshold", "0.9999"]])
def test_another_network_never_resumes_whatever_the_last_row_is(form, last, rest, here, capsys):
    """An image that cannot be read gives the same row with every network."""
    Path("broken.png").write_bytes(b"no image")
    images = ["0.png", "1.png", last]
    words = ["predict", "b", *images, "-o", f"o.{form}", *QUICK]
    assert main(words) == 0
    whole = Path(f"o.{form}").read_bytes()
    assert main(["predict", "other", *words[2:], "--resume", *rest]) == 2
    assert "gives another row now, so the network or its options differ" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert Path(f"o.{form}").read_bytes() == whole
