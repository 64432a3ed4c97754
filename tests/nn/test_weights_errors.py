"""Files that are no weights: one line of plusx's own, whatever torch would have said."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path

import pytest
import torch

import plusx
from plusx.cli.main import main
from plusx.errors import WeightsError
from plusx.nn.building import read_state

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
    "five.pth": (b"hello", "is not a weights file (5 bytes that start with b'he')"),
    "e.pth": (b"e", "is not a weights file (1 bytes"),
    "html.pth": (b"<!DOCTYPE html><html>404</html>", "is not a weights file"),
    "short.pth": (saved(STATE)[:200], "is truncated or corrupt"),
    "short.safetensors": (b"\x40\0\0\0\0\0\0\0{", "is not a complete safetensors file"),
    "legacy-short.pth": (saved(STATE, _use_new_zipfile_serialization=False)[:60], "holds more than tensors, or is corrupt"),
    "object.pth": (saved(torch.nn.Linear(2, 2)), "holds more than tensors"),
    "hostile.pth": (pickle.dumps(Hostile()), "holds more than tensors"),
    "list.pth": (saved([1, 2]), "holds no state dict"),
    "nested.pth": (saved({"epoch": 3}), "holds no state dict"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_weights_is_one_own_line(name, tmp_path, capsys):
    content, says = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError) as raised:
        read_state(path)
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
    "name", ["DEFAULT", "IMAGENET1K_V1", "IMAGENET1K_V2", "imagenet", "ResNet50_Weights.DEFAULT", "pretrained", "resnet50.a1_in1k"]
)  # fmt: skip
def test_names_of_other_libraries_weights_are_answered(name):
    for make in (plusx.resnet50, lambda weights: plusx.build("resnet18", weights)):
        with pytest.raises(WeightsError, match=r"plusx ships no trained weights\. Give a file"):
            make(weights=name)


def test_other_weights_that_are_none():
    with pytest.raises(WeightsError, match=r"^There is no weights file nowhere/net\.pth\. Give the path"):
        plusx.resnet18(weights="nowhere/net.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        plusx.resnet18(weights=str(Path.cwd()))
    with pytest.raises(WeightsError, match="weights=True is neither"):
        plusx.resnet18(weights=True)  # pyright: ignore[reportArgumentType]
