"""The shipped networks: their files, their accuracy, and the ONNX file beside torch."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from lesioned import (
    BLOCKS,
    CATALOGUE,
    NETS,
    Lesion,
    N,
    network,
    read_idx,
    shipped,
    stored_files,
    torch_correct,
    torch_maps,
)
from numpy.typing import NDArray
from safetensors.numpy import load_file

import plusx
from plusx.data.digits import digits
from plusx.data.fashion import DEBIAN, is_idx_folder

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS, DOCS = ROOT / "scripts", ROOT / "docs"
NAMES = ["resnet20-digits", "plain20-digits", "resnet20-fashion", "plain20-fashion"]
needs_fashion = pytest.mark.skipif(not is_idx_folder(DEBIAN), reason="Debian's dataset-fashion-mnist is not installed")


# ---- files ----


def test_every_file_is_the_recorded_one() -> None:
    for stored in stored_files():
        content = (NETS / stored["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (stored["bytes"], stored["sha256"])
    listed = {stored["file"] for stored in stored_files()}
    assert {path.name for path in NETS.iterdir()} == listed | {"nets.json", "README.md"}
    assert sorted(CATALOGUE["nets"]) == sorted(NAMES)


def test_the_graph_is_what_the_script_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import live_nets

    assert live_nets.scaled_network() == onnx.load(NETS / "scaled.onnx")
    assert live_nets.places() == CATALOGUE["places"]
    sys.modules.pop("live_nets")


def test_the_images_were_held_out() -> None:
    """The first 20 of each class of the part on which plusx train evaluates."""
    _compare(digits().val.images, digits().val.labels, "digits")


@needs_fashion
def test_the_fashion_images_were_held_out() -> None:
    val = plusx.data.open_data("fashion-mnist").val
    _compare(val.images, val.labels, "fashion")


def _compare(images: NDArray[np.uint8] | None, labels: NDArray[np.int64], data: str) -> None:
    assert images is not None
    seen = dict.fromkeys(range(10), 0)
    chosen: list[int] = []
    for i, label in enumerate(labels.tolist()):
        seen[label] += 1
        if seen[label] <= 20:
            chosen.append(i)
    info = CATALOGUE["data"][data]
    assert np.array_equal(read_idx(NETS / info["images"]["file"]), images[chosen, :, :, 0])
    assert np.array_equal(read_idx(NETS / info["labels"]["file"]), labels[chosen])


# ---- accuracy ----


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_weights_are_finite_and_halved(name: str) -> None:
    for array in load_file(NETS / f"{name}.safetensors").values():
        assert array.dtype == np.float16 and np.isfinite(array).all()


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_on_the_shipped_images(name: str) -> None:
    assert torch_correct(name, Lesion())[0] == CATALOGUE["nets"][name]["correct_of_shipped"]


@pytest.mark.parametrize("name", ["resnet20-digits", "plain20-digits"])
def test_16_bits_change_no_accuracy_on_digits(name: str) -> None:
    _whole(name, digits().val)


@needs_fashion
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20-fashion", "plain20-fashion"])
def test_16_bits_change_no_accuracy_on_fashion(name: str) -> None:
    _whole(name, plusx.data.open_data("fashion-mnist").val)


@torch.inference_mode()
def _whole(name: str, part: plusx.data.Data) -> None:
    """All held-out images, in torch, with the shipped weights: as many as the training reported with its own."""
    record, info = CATALOGUE["nets"][name], CATALOGUE["data"][CATALOGUE["nets"][name]["data"]]
    images = torch.tensor(part.images)[..., 0][:, None] / 255
    logits = [network(name)((batch - info["mean"]) / info["std"]) for batch in images.split(100)]
    correct = int((torch.cat(logits).argmax(1).numpy() == part.labels).sum())
    assert (correct, len(part)) == (record["correct_16_bit"], record["n"])
    assert abs(record["correct_16_bit"] - record["correct"]) <= record["n"] / 1000


# ---- the ONNX file beside torch ----


@cache
def session() -> Any:
    return onnxruntime.InferenceSession(str(NETS / "scaled.onnx"), providers=["CPUExecutionProvider"])


def onnx_maps(
    name: str, images: NDArray[np.float32], lesion: Lesion, run: Any = None
) -> dict[str, NDArray[np.float32]]:
    """As page/live does it: a dropped block has a branch of 0 and a shortcut of 1, swapped blocks each other's weights."""
    given = {key: array.astype(np.float32) for key, array in load_file(NETS / f"{name}.safetensors").items()}
    swapped = dict(given)
    for place, source in zip(BLOCKS, lesion.order, strict=True):
        swapped |= {
            key.replace(BLOCKS[source], place): array
            for key, array in given.items()
            if key.startswith(f"{BLOCKS[source]}.")
        }
    branch = [0.0 if i in lesion.dropped else lesion.branch[i] for i in range(N)]
    own = [0.0] * N if name.startswith("plain") else lesion.shortcut
    shortcut = [1.0 if i in lesion.dropped else own[i] for i in range(N)]
    scales = {"branch_scale": np.float32(branch), "shortcut_scale": np.float32(shortcut)}
    names = [output.name for output in session().get_outputs()]
    outputs = (run or session()).run(names, {"images": images, **swapped, **scales})
    return dict(zip(names, outputs, strict=True))


def assert_equal_maps(name: str, lesion: Lesion, run: Any = None) -> None:
    images = shipped(CATALOGUE["nets"][name]["data"])[0][:7]
    ours = onnx_maps(name, images, lesion, run)
    theirs = torch_maps(name, torch.from_numpy(images), lesion)
    assert ours.keys() == theirs.keys() and len(ours) == N + 2
    for key, found in ours.items():
        np.testing.assert_allclose(found, theirs[key].numpy(), rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NAMES)
def test_any_scales_give_torchs_maps_and_logits(name: str, seed: int) -> None:
    draw = np.random.default_rng(seed)
    lesion = Lesion()
    lesion.branch, lesion.shortcut = draw.uniform(0, 1.5, N).tolist(), draw.uniform(0, 1.5, N).tolist()
    lesion.dropped = set(draw.choice(N, 2, replace=False).tolist()) if seed > 1 else set()
    if seed % 2:
        lesion.swap("layer1.0", "layer1.2").swap("layer3.1", "layer3.2")
    assert_equal_maps(name, lesion)


@pytest.mark.parametrize("name", NAMES)
def test_unchanged_it_is_the_network_itself(name: str) -> None:
    images = shipped(CATALOGUE["nets"][name]["data"])[0][:7]
    with torch.inference_mode():
        expected = network(name)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(onnx_maps(name, images, Lesion())["logits"], expected, rtol=1e-4, atol=1e-4)


def _exchanged_scales(model: onnx.ModelProto) -> None:
    first, second = (node for node in model.graph.node if node.op_type == "Split")
    first.input[0], second.input[0] = second.input[0], first.input[0]


def _other_padding(model: onnx.ModelProto) -> None:
    """Option A's zeros before the channels, as centred variants have some of them."""
    pads = next(tensor for tensor in model.graph.initializer if tensor.name == "int64.0.0.0.0.0.16.0.0")
    pads.int64_data[:] = [0, 16, 0, 0, 0, 0, 0, 0]


def _other_epsilon(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            node.attribute[0].f = 1e-3


@pytest.mark.parametrize("plant", [_exchanged_scales, _other_padding, _other_epsilon])
def test_a_planted_error_is_found(plant: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(NETS / "scaled.onnx")
    plant(model)
    wrong = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equal_maps("resnet20-digits", Lesion().cut("layer1.1").scale("layer2.1", 0.5), wrong)


LESIONS = {
    "a shortcut cut": lambda: Lesion().cut("layer1.1"),
    "a block dropped": lambda: Lesion().drop("layer2.1"),
    "a block dropped where the shape changes": lambda: Lesion().drop("layer3.0"),
    "two blocks swapped": lambda: Lesion().swap("layer2.1", "layer2.2"),
    "F(x) halved": lambda: Lesion().scale("layer1.2", 0.5),
}


@pytest.mark.parametrize("lesion", LESIONS)
@pytest.mark.parametrize("name", NAMES)
def test_lesions_cost_what_torch_measures(name: str, lesion: str) -> None:
    images, labels = shipped(CATALOGUE["nets"][name]["data"])
    logits = [onnx_maps(name, part, LESIONS[lesion]())["logits"] for part in np.array_split(images, 8)]
    expected, margin = torch_correct(name, LESIONS[lesion]())
    assert margin > 1e-4  # no tie that rounding could decide
    assert int((np.concatenate(logits).argmax(1) == labels).sum()) == expected


@pytest.mark.slow
@pytest.mark.parametrize("page", ["explore.md", "explore.zh.md"])
def test_the_table_of_the_documentation_is_torchs(page: str) -> None:
    rows = re.findall(r"^\| (\S+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", (DOCS / page).read_text("utf-8"), re.M)
    assert [name for name, *_ in rows][1:] == BLOCKS
    for name, *counts in rows:
        lesion = Lesion().drop(name) if name in BLOCKS else Lesion()
        assert [torch_correct(net, lesion)[0] for net in NAMES] == [int(count) for count in counts]


# ---- receptive fields ----


@pytest.mark.parametrize("place", range(N + 1))
def test_fields_are_where_torchs_gradients_are(place: int) -> None:
    """With positive weights everywhere, the gradient of a cell is not zero exactly on its receptive field."""
    net = plusx.build("resnet20 in_channels=1").eval()
    with torch.no_grad():
        for key, value in net.state_dict().items():
            value.fill_(0.0 if key.endswith(("bn1.bias", "bn2.bias", "running_mean")) else 1.0 if "bn" in key else 1e-2)
    about = CATALOGUE["places"][place]
    images = torch.ones(1, 1, 28, 28, requires_grad=True)
    x = net.forward_stem(images)
    blocks = [block for stage in net.stage_names for block in getattr(net, stage)]
    for block in blocks[:place]:
        x = block(x)
    side = x.shape[2]
    assert x.shape[1] == about["channels"]
    for row, column in ((0, 0), (side // 2, side - 1)):
        (gradient,) = torch.autograd.grad(x[0, 0, row, column], images, retain_graph=True)
        expected = torch.zeros(28, 28, dtype=torch.bool)
        spans = [[int(about[end]) + cell * about["stride"] for end in ("low", "high")] for cell in (row, column)]
        (top, bottom), (left, right) = [[max(0, low), min(28, high)] for low, high in spans]
        expected[top:bottom, left:right] = True
        assert torch.equal(gradient[0, 0] != 0, expected)
