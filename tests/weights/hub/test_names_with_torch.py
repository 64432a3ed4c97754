"""Names of weights in Python and in the commands that need torch."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from hub_server import TINY, Server, tiny_weights, whole
from PIL import Image

import plusx
from plusx.cli.main import main
from plusx.errors import WeightsError
from plusx.weights.hub.entries import CROP_95, ENTRIES, STRIKES_BACK
from plusx.weights.hub.entry import Entry
from plusx.weights.hub.remote import hub_file

torch = pytest.importorskip("torch")
NAME = "timm/tiny.a1_in1k"


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch, server: Server) -> Entry:
    made = Entry(
        NAME, TINY, (hub_file("timm/tiny.a1_in1k", "model.safetensors"),), None, "apache-2.0", CROP_95, 50.0, None, STRIKES_BACK,
        "a test", labels="",
    )  # fmt: skip
    monkeypatch.setitem(ENTRIES, NAME, made)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.on("/timm/tiny.a1_in1k/resolve/main/model.safetensors", whole(tiny_weights()))
    return made


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            made = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(made, "PNG")
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(made.getvalue())
    return tmp_path / "photos"


def test_load_and_build_take_names(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "plusx")
    net = plusx.load(NAME)
    assert net.preprocessing is not None and net.preprocessing.resize_px == 235
    assert "was downloaded from" in caplog.text
    for other in (plusx.build(TINY, NAME), plusx.build(TINY, weights="imagenet"), plusx.load("imagenet", spec=TINY)):
        assert all(
            torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True)
        )
    assert plusx.load(NAME, classes=9).fc.out_features == 9
    assert plusx.resnet18("imagenet", widths=(8, 16, 32, 64), stem_width=8, classes=5).spec == plusx.spec(TINY)


def test_a_network_of_other_tensors_is_refused() -> None:
    with pytest.raises(WeightsError, match="holds"):
        plusx.build("resnet18 classes=5", NAME)
    with pytest.raises(WeightsError, match="No ImageNet weights are known for"):
        plusx.build("resnet20", "imagenet")


def test_train_embed_and_predict_take_names(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, out = TINY.rpartition(" ")[0].split(), str(tmp_path / "run")
    train = [
        "train",
        *words,
        "--weights",
        "imagenet",
        "--data",
        str(images),
        "--epochs",
        "1",
        "--size",
        "32",
        "--out",
        out,
    ]
    assert main([*train, "--threads", "1"]) == 0
    assert f"{NAME} is taken" in capsys.readouterr().err
    assert main(["embed", NAME, str(images), "-o", str(tmp_path / "vectors.npy"), "--engine", "torch"]) == 0
    assert np.load(tmp_path / "vectors.npy").shape == (12, 64)
    assert main(["predict", NAME, str(images), "--engine", "torch"]) == 0
    assert f"preprocessing as known of {NAME}" in capsys.readouterr().err


def test_evaluate_takes_names(images: Path) -> None:
    with pytest.raises(Exception, match="class"):  # its five classes are not those of the images
        plusx.evaluate(NAME, images)
