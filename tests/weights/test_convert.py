"""Networks for other systems: theirs load the files strictly and compute the same, and what they cannot hold is refused."""

from __future__ import annotations

import importlib.util
import json
import pickle

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.numpy import load_file as load_safetensors
from storing import outputs

import plusx
from living import assert_alive, enliven, relative
from plusx.errors import SpecError, WeightsError
from plusx.weights.conversion.convert_weights import convert_file
from plusx.weights.conversion.target_systems import TARGETS, expressible
from plusx.weights.conversion.translate import load_file
from plusx.weights.identification.identify import identify

E, F, R = "expressible", "after folding", "refused"
NEEDS_H5PY = pytest.mark.skipif(importlib.util.find_spec("h5py") is None, reason="h5py writes Keras's files")
TABLE = {  # torchvision, timm, mmdet, mmpretrain, huggingface, detectron2, keras; plusx holds all
    "resnet18":                                 (E, E, E, E, E, E, R),
    "resnet50":                                 (E, E, E, E, E, E, R),
    "resnet101 classes=7 in_channels=4":        (E, E, E, E, E, E, R),
    "resnet50 stride_in=1x1":                   (R, R, E, E, E, E, E),
    "resnet50_caffe":                           (R, R, R, R, R, R, R),
    "resnet50 stride_in=1x1 stem_bias=yes":     (R, R, F, F, F, F, E),
    "resnet50 stem_bias=yes":                   (F, F, F, F, F, F, R),
    "resnet50 norm=none":                       (F, F, F, F, F, F, R),
    "resnet50 norm=none stride_in=1x1":         (R, R, F, F, F, F, F),
    "resnet50 norm=group":                      (R, E, E, E, R, E, R),
    "resnet50 norm=group16":                    (R, R, R, R, R, R, R),
    "resnet50 norm=frozen":                     (E, E, E, E, E, E, R),
    "resnet50c":                                (R, E, E, E, R, E, R),
    "resnet50d":                                (R, E, E, E, R, R, R),
    "resnet50t":                                (R, E, R, R, R, R, R),
    "seresnet50":                               (R, E, R, E, R, R, R),
    "ecaresnet50":                              (R, E, R, R, R, R, R),
    "resnext50_32x4d":                          (E, E, E, E, R, E, R),
    "wide_resnet50_2":                          (E, E, E, E, R, E, R),
    "resnetv2_50":                              (R, E, R, R, R, R, R),
    "resnet20":                                 (R, R, R, R, R, R, R),
    "plain18":                                  (R, R, R, R, R, R, R),
    "resnet50 output_stride=8":                 (R, R, R, R, R, R, R),
    "resnet50 act=silu":                        (R, R, R, R, R, R, R),
    "resnet50 join=modulate":                   (R, R, R, R, R, R, R),
    "resnet50 shortcut=C":                      (R, R, R, R, R, R, R),
    "resnet18 widths=8,16,32,64 stem_width=8":  (R, R, R, R, E, E, R),
    "resnet50 until=layer3":                    (R, R, R, R, R, R, R),
}  # fmt: skip
ORDER = ("torchvision", "timm", "mmdet", "mmpretrain", "huggingface", "detectron2", "keras")


@pytest.mark.parametrize("words", TABLE)
def test_what_each_target_holds(words):
    got = tuple(expressible(plusx.spec(words), TARGETS[name])[0] for name in ORDER)
    assert got == TABLE[words], [expressible(plusx.spec(words), TARGETS[name]) for name in ORDER]
    assert expressible(plusx.spec(words), TARGETS["plusx"])[0] == E


def made_file(words, tmp_path):
    """A network of living numbers as plusx writes it."""
    from plusx.weights.conversion.writers import safetensors_bytes

    net = enliven(plusx.build(words))
    path = tmp_path / "source.safetensors"
    state = {key: value.detach().numpy() for key, value in net.state_dict().items()}
    path.write_bytes(safetensors_bytes(state, {"plusx.spec": str(net.spec)}))
    return net, path


def assert_same(theirs, ours, tolerance=1e-5):
    x, y = torch.randn(2, 2, 3, 64, 96)
    with torch.inference_mode():
        out = ours(x)
        assert_alive(out, ours(y))
        assert relative(theirs.eval()(x), out) <= tolerance


SMALL = "resnet50 depths=1,1,1,1"
"""A third of ResNet-50's parameters, and every kind of layer that it has."""


def small_timm(name):
    return timm.create_model(name, layers=[1, 1, 1, 1], num_classes=5)


def small_torchvision():
    return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=5)


PEERS = {
    "resnet18 classes=5": ("torchvision", lambda: torchvision.models.resnet18(num_classes=5)),
    f"{SMALL} norm=none classes=5": ("torchvision", small_torchvision),
    f"{SMALL} stem_bias=yes classes=5": ("torchvision", small_torchvision),
    "resnet50d depths=1,1,1,1 classes=5": ("timm", lambda: small_timm("resnet50d")),
    "seresnet50 depths=1,1,1,1 classes=5": ("timm", lambda: small_timm("seresnet50")),
    "resnetv2_50 depths=1,1,1,1 classes=5": ("timm", lambda: small_timm("resnetv2_50")),
    f"{SMALL} norm=group classes=5": ("timm", lambda: small_timm("resnet50_gn")),
}


@pytest.mark.parametrize("words", PEERS)
def test_peers_load_strictly_and_compute_the_same(words, tmp_path):
    to, make = PEERS[words]
    suffix = ".pth" if to == "timm" else ".safetensors"
    ours, path = made_file(words, tmp_path)
    out = convert_file(path, to, tmp_path / f"out{suffix}")
    state = (
        torch.load(out, weights_only=True)
        if suffix == ".pth"
        else {k: torch.from_numpy(v) for k, v in load_safetensors(out).items()}
    )
    theirs = make()
    theirs.load_state_dict(state, strict=True)
    assert_same(theirs, ours)
    proof = json.loads((tmp_path / f"out{suffix}.proof.json").read_text())
    assert proof["largest_difference"] <= 1e-6 and proof["spec"] == str(plusx.spec(words))
    assert set(proof["map"].values()) == set(state)


ROUND = [("mmdet", ".pth"), ("mmpretrain", ".pth"), ("huggingface", ""), ("detectron2", ".pkl"), ("plusx", ".safetensors"),
         pytest.param("keras", ".h5", marks=NEEDS_H5PY)]  # fmt: skip


@pytest.mark.parametrize(("to", "suffix"), ROUND)
def test_there_and_back(to, suffix, tmp_path):
    words = "resnet50" if to == "keras" else SMALL  # Keras has whole networks alone
    ours, path = made_file(f"{words} stride_in=1x1 classes=5", tmp_path)
    out = convert_file(path, to, tmp_path / f"out{suffix}")
    back = load_file(out / "model.safetensors" if out.is_dir() else out, stride_in="1x1")
    assert back.identification.family.split()[0].lower()[:5] in ("mmdet", "huggi", "detec", "plusx", "keras")
    with torch.inference_mode():
        x = torch.randn(2, 3, 64, 96)
        wanted = ours(x)
        if to == "mmdet":
            ours.fc = torch.nn.Identity()
            wanted = ours(x)
    assert relative(outputs(back, x), wanted) <= 1e-5
    if to == "mmdet":
        assert set(load_safetensors(tmp_path / "out.pth.extra.safetensors")) == {"fc.weight", "fc.bias"}


def test_detectron2s_pickle_is_plain(tmp_path):
    _, path = made_file(f"{SMALL} classes=5", tmp_path)
    found = pickle.loads(convert_file(path, "detectron2", tmp_path / "a.pkl").read_bytes())
    assert found["__author__"] == "plusx"
    assert {type(value) for value in found["model"].values()} == {np.ndarray}
    assert found["model"]["backbone.bottom_up.res4.0.shortcut.norm.running_var"].shape == (1024,)


def test_huggingfaces_directory(tmp_path):
    _, path = made_file(f"{SMALL} stride_in=1x1 classes=5", tmp_path)
    out = convert_file(path, "huggingface", tmp_path / "hf")
    config = json.loads((out / "config.json").read_text())
    assert (config["hidden_sizes"], config["depths"], config["layer_type"]) == (
        [256, 512, 1024, 2048],
        [1, 1, 1, 1],
        "bottleneck",
    )
    assert identify(out / "model.safetensors").fields["stride_in"].how == "known"
    assert {file.name for file in out.iterdir()} == {"model.safetensors", "config.json", "proof.json"}


def test_foreign_tensors_are_kept(tmp_path):
    theirs = enliven(torchvision.models.resnet18())
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()} | {"queue": torch.ones(3, 4)}},
        tmp_path / "a.pth",
    )
    convert_file(tmp_path / "a.pth", "plusx", tmp_path / "b.safetensors")
    assert np.array_equal(
        load_safetensors(tmp_path / "b.safetensors.extra.safetensors")["state_dict.queue"], np.ones((3, 4), np.float32)
    )
    assert str(identify(tmp_path / "b.safetensors").spec) == "resnet18"


def test_refusals(tmp_path):
    _, path = made_file("resnet50d", tmp_path)
    with pytest.raises(
        WeightsError, match=r"resnet50d, and torchvision cannot hold it: stem=deep \(torchvision has 7x7\)"
    ):
        convert_file(path, "torchvision", tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.h5 is not a name for a timm file. Use this ending: .safetensors, .pth"):
        convert_file(path, "timm", tmp_path / "a.h5")
    with pytest.raises(SpecError, match="files are only read"):
        convert_file(path, "paddle", tmp_path / "a.pdparams")
    with pytest.raises(SpecError, match="Did you mean 'torchvision'"):
        convert_file(path, "torchvison", tmp_path / "a.pth")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["source.safetensors"]
