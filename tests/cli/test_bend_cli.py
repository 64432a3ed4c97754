"""plusx cam and plusx weights cut, from files to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import plusx
from living import enliven
from nn.test_cam import brightness_net
from plusx.bundles import save_bundle
from plusx.cli.main import main
from plusx.images import Preprocessing

PRE = Preprocessing("RGB", 224, 224, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that knows bright from dark, and a photo of a bright square at x 128.5, y 96.5 of what the net sees."""
    monkeypatch.chdir(tmp_path)
    net = brightness_net()
    weights = {key: tensor.numpy() for key, tensor in net.state_dict().items()}
    save_bundle("bundle", net.spec, ["dark", "bright"], PRE, weights)
    photo = np.zeros((448, 448, 3), np.uint8)
    photo[160:226, 224:290] = 255
    Image.fromarray(photo).save("photo.png")
    return tmp_path


def test_cam_finds_the_square(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cam", "bundle", "photo.png", "-o", "out.png", "--class", "bright"]) == 0
    said = capsys.readouterr().out
    assert "bright" in said
    assert "hottest cell at x 257, y 193 of 448x448 px" in said  # 128.5 and 96.5 of the input's 224
    assert "The network sees" not in said
    assert "stride 32, receptive field 435 px" in said
    assert Image.open("out.png").size == (448, 448)
    assert main(["cam", "bundle", "photo.png", "--at", "layer3.0", "--class", "1"]) == 0
    assert Path("photo-cam.png").is_file()
    assert "at layer3.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bundle", "photo.png", "--class", "brigt"], "Did you mean 'bright'"),
        (["bundle", "photo.png", "--at", "layer7"], "Did you mean"),
        (["bundle", "nothing.jpg"], "nothing.jpg"),
        (["nowhere", "photo.png"], "no bundle at nowhere"),
        (["bundle", "photo.png", "-o", "out.jpg"], "Name it out.png"),
    ],
)
def test_cam_refuses_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert main(["cam", *words]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert not list(home.glob("*.png.new")) and not list(home.glob("*cam.png"))


def test_cam_is_drawn_on_the_whole_photo(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A large JPEG on its side, which is read at a quarter of its size and turned: 1400 × 1800 px upright, whose shorter
    side becomes 224, so the input's pixels are 6.25 of it, and 32 rows of the 288 are cut above and below."""
    photo = np.zeros((1800, 1400, 3), np.uint8)
    y, x, half = round((96.5 + 32) * 6.25), round(128.5 * 6.25), 103
    photo[y - half : y + half, x - half : x + half] = 255
    turned = Image.fromarray(photo).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by 90° when it is shown
    turned.save("large.jpg", exif=exif)
    assert main(["cam", "bundle", "large.jpg", "-o", "out.png", "--class", "bright"]) == 0
    said = capsys.readouterr()
    assert f"hottest cell at x {x}, y {y} of 1400x1800 px" in said.out
    assert "The network sees x 0 to 1400, y 200 to 1600 of it." in said.out
    assert "(1400x1800 pixels)" in said.err
    drawn = Image.open("out.png")
    assert drawn.size == (1400, 1800)
    assert drawn.getpixel((x + 40, y + 40)) != (255, 255, 255) and drawn.getpixel((700, 100)) == (0, 0, 0)


def test_weights_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    net = enliven(plusx.build("resnet50 depths=1,1,2,1 widths=8,8,16,16 stem_width=8 classes=3"))
    torch.save(net.state_dict(), "net.pth")
    assert main(["weights", "cut", "net.pth", "--until", "layer3.0", "-o", "cut.safetensors"]) == 0
    said = capsys.readouterr()
    assert "64 channels, stride 16" in said.out
    assert "note: taken by convention: stride_in=3x3" in said.err
    with safe_open("cut.safetensors", "pt") as file:
        spec = file.metadata()["plusx.spec"]
    assert plusx.spec(spec) == net.spec.replace(until="layer3.0", classes=0)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plusx.build(spec, "cut.safetensors").eval()(x), plusx.cut(net, "layer3.0")(x))
    words = ["--until", "layer3.0", "-o", "cut.safetensors", "--network", f"{net.spec} stride_in=1x1"]
    assert main(["weights", "cut", "net.pth", *words]) == 0
    assert "stride_in=1x1 stem_width=8 until=layer3.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cat", "net.pth"], "Did you mean 'cut'"),
        (["cut", "net.pth"], "cut needs --until STAGE"),
        (["cut", "net.pth", "--until", "layer3", "-o", "out.pth"], "Name it out.safetensors"),
        (["cut", "none.pth", "--until", "layer3", "-o", "out.safetensors"], "none.pth does not exist"),
        (["cut", "net.pth", "--until", "layr2", "-o", "out.safetensors", "shortcut=A"], "Did you mean 'layer2'"),
        (
            ["cut", "net.pth", "--until", "layer1", "-o", "out.safetensors", "--network", "resnet50"],
            "holds resnet20, not resnet50",
        ),
        (["cut", "other.pth", "--until", "layer1", "-o", "out.safetensors"], "holds no ResNet"),
    ],
)
def test_weights_cut_refuses_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(plusx.build("resnet20").state_dict(), "net.pth")
    torch.save({"features.0.weight": torch.zeros(3)}, "other.pth")
    assert main(["weights", *words]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert not Path("out.safetensors").exists()
    assert captured.out == ""
