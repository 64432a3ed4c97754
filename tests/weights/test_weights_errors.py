"""Files that are no weights: one line of plusx's own, whatever torch would have said."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import plusx
from plusx.cli.main import main
from plusx.errors import WeightsError

FOREIGN = re.compile(r"weights_only|Unpickl|PytorchStreamReader|\x1b|numpy\.core|https?:|\b101\b|trusted source|Errno")
"""What torch, pickle and Python say of such files."""


class Hostile:
    def __reduce__(self):
        return print, ("\x1b[31mI ran\x1b[0m",)


def saved(thing: object, **how: bool) -> bytes:
    to = io.BytesIO()
    torch.save(thing, to, **how)  # pyright: ignore[reportArgumentType]
    return to.getvalue()


STATE = {"conv1.weight": torch.zeros(4, 3, 3, 3)}
FILES = {
    "empty.pth": (b"", "is empty"),
    "empty.safetensors": (b"", "is empty"),
    "five.pth": (b"hello", "has 5 bytes, too few for a checkpoint"),
    "e.pth": (b"e", "has 1 bytes"),
    "html.pth": (b"<!DOCTYPE html><html>404</html>", "is a web page"),
    "short.pth": (saved(STATE)[:200], "was cut short"),
    "short.safetensors": (b"\x40\0\0\0\0\0\0\0{", "is a damaged safetensors file"),
    "legacy-short.pth": (saved(STATE, _use_new_zipfile_serialization=False)[:60], "is damaged or was cut short"),
    "object.pth": (saved(torch.nn.Linear(2, 2)), "holds no ResNet: 2 tensors"),
    "hostile.pth": (pickle.dumps(Hostile()), "holds no tensors"),
    "list.pth": (saved([1, 2]), "holds no tensors"),
    "nested.pth": (saved({"epoch": 3}), "holds no tensors"),
}  # fmt: skip


COMMANDS = {
    "show": ["show", "FILE"],
    "geometry": ["geometry", "FILE"],
    "explain": ["explain", "FILE"],
    "draw": ["draw", "FILE"],
    "diff": ["diff", "resnet18", "FILE"],
    "train": ["train", "--data", "digits", "--weights", "FILE"],
    "evaluate": ["evaluate", "FILE", "--data", "digits"],
    "predict": ["predict", "FILE", "x.jpg"],
    "embed": ["embed", "FILE", "x.jpg", "-o", "x.npy"],
    "cam": ["cam", "FILE", "x.jpg"],
    "export": ["export", "FILE", "--to", "onnx", "-o", "x"],
    "bench": ["bench", "FILE"],
    "identify": ["weights", "identify", "FILE"],
    "convert": ["weights", "convert", "FILE", "--to", "timm", "-o", "x.safetensors"],
    "verify": ["weights", "verify", "FILE", "FILE"],
    "guess": ["weights", "guess", "FILE", "--data", "digits"],
    "bundle": ["weights", "bundle", "FILE", "-o", "x"],
    "cut": ["weights", "cut", "FILE", "--until", "layer1", "-o", "x.safetensors"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "name", ["empty.pth", "html.pth", "object.pth", "hostile.pth", "none.pth", "short.safetensors"]
)
def test_every_command_refuses_such_a_file_in_one_line(name, command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 40)).save("x.jpg")
    content, says = FILES.get(name, (None, "Check the path"))
    if content is not None:
        Path(name).write_bytes(content)
    assert main([name if word == "FILE" else word for word in COMMANDS[command]]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and says in said.err and name in said.err, said.err
    assert said.out == "" and not FOREIGN.search(said.err)
    assert {path.name for path in tmp_path.iterdir()} <= {name, "x.jpg"}, "nothing was written"


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_weights_is_one_own_line(name, tmp_path, capsys):
    content, says = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError) as raised:
        plusx.load(path)
    assert main(["weights", "identify", str(path)]) == 2
    said = capsys.readouterr()
    for text in (str(raised.value), said.err.strip()):
        assert says in text and "\n" not in text and text.endswith((".", ").")), text
        assert not FOREIGN.search(text.replace(str(tmp_path), "")), text
    assert said.out == "", "nothing in the file ran"


def test_no_advice_leads_back_to_where_it_was_given(tmp_path, capsys):
    """`weights identify` used to say: plusx weights identify tells what it is."""
    (tmp_path / "x.pth").write_bytes(saved([1]))
    main(["weights", "identify", str(tmp_path / "x.pth")])
    assert "weights identify" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("DEFAULT", "torchvision/resnet50:IMAGENET1K_V1"),
        ("IMAGENET1K_V2", "torchvision/resnet50:IMAGENET1K_V2"),
        ("ResNet50_Weights.DEFAULT", "torchvision/resnet50:IMAGENET1K_V1"),
        ("ResNet50_Weights.IMAGENET1K_V2", "torchvision/resnet50:IMAGENET1K_V2"),
        ("Wide_ResNet50_2_Weights.IMAGENET1K_V1", "torchvision/wide_resnet50_2:IMAGENET1K_V1"),
        ("pretrained", "torchvision/resnet50:IMAGENET1K_V1"),
        ("resnet50.a1_in1k", "timm/resnet50.a1_in1k"),
    ],
)
def test_names_of_other_libraries_weights_are_answered(name, near):
    for make in (plusx.resnet50, lambda weights: plusx.build("resnet18", weights)):
        with pytest.raises(WeightsError, match=rf"like '{near}'; plusx weights list shows all\.$"):
            make(weights=name)


def test_other_weights_that_are_none():
    with pytest.raises(WeightsError, match=r"^There is no weights file nowhere/net\.pth\. Check the path"):
        plusx.resnet18(weights="nowhere/net.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        plusx.resnet18(weights=str(Path.cwd()))
    with pytest.raises(WeightsError, match="weights=True is neither"):
        plusx.resnet18(weights=True)  # pyright: ignore[reportArgumentType]
