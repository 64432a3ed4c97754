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


def test_a_config_of_timm_tells_the_input_of_weights_that_the_table_does_not_have(
    server: Server, tmp_path: Path
) -> None:
    """Written by timm itself, for weights whose input is not their family's convention."""
    timm = pytest.importorskip("timm")
    theirs = {"crop_pct": 0.9, "interpolation": "bilinear", "input_size": (3, 176, 176), "std": (0.5, 0.5, 0.5)}
    with torch.device("meta"):
        net = timm.create_model("resnet18", pretrained_cfg_overlay=theirs)
    timm.models._hub.save_config_for_hf(net, str(tmp_path / "config.json"))
    server.on("/timm/mine/resolve/main/model.safetensors", whole(tiny_weights()))
    server.on("/timm/mine/resolve/main/config.json", whole((tmp_path / "config.json").read_bytes()))
    known = plusx.load("hf:timm/mine").preprocessing
    assert known is not None
    assert (known.resize_px, known.crop_px, known.interpolation, known.std) == (195, 176, "bilinear", (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"pretrained_cfg": 1}',
        '{"pretrained_cfg": {"input_size": [3, 1e999]}}',
        '{"pretrained_cfg": {"input_size": [3, 224], "crop_pct": 0, "mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bicubic"}}',
        '{"pretrained_cfg": {"input_size": [3, 224], "crop_pct": 1, "mean": [0, 0, 0], "std": [1, 1, 0], "interpolation": "bicubic"}}',
        '{"pretrained_cfg": {"input_size": [3, 224], "crop_pct": 1, "mean": [0], "std": [1], "interpolation": "bicubic"}}',
    ],
)
def test_a_config_that_is_none_changes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(tiny_weights())
    before = plusx.load(tmp_path / "model.safetensors").preprocessing
    (tmp_path / "config.json").write_text(text)
    assert plusx.load(tmp_path / "model.safetensors").preprocessing == before


def test_load_takes_a_long_address(server: Server) -> None:
    url = f"{server.on('/net.safetensors', whole(tiny_weights()))}?signature={'b' * 900}"
    assert plusx.load(url).spec == plusx.build(TINY, url).spec == plusx.spec(TINY)


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
