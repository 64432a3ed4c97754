"""A checkpoint is a bundle: predictions equal torch's own, classes and preprocessing come from where they are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from storing import net
from torchvision.models._meta import _IMAGENET_CATEGORIES
from torchvision.transforms import v2

import plusx
from plusx.bundles import open_bundle
from plusx.errors import DataError, WeightsError
from plusx.names import key_names
from plusx.weights.file_bundles import bundle_of, named_preprocessing, write_bundle
from plusx.weights.identification.identify import identify
from plusx.weights.labelling import read_labels


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "checkpoint.pth.tar"
    theirs = net()
    torch.save(
        {"epoch": 90, "arch": "resnet18", "state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}},
        path,
    )
    return path, theirs


@pytest.fixture
def image(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    return tmp_path / "noise.png", Image.fromarray(noise)


def test_a_checkpoint_predicts_as_torchvision_does(checkpoint, image, tmp_path):
    path, theirs = checkpoint
    bundle = bundle_of(path, labels="imagenet-1k")
    steps = [v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    x = v2.Compose([*steps, v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])(image[1])[None]
    with torch.inference_mode():
        shares = torch.softmax(theirs(x), 1)[0]
    written = write_bundle(bundle, tmp_path / "bundle")
    for source in (bundle, open_bundle(written)):
        (row,) = plusx.predictor(source, top=3, precision="fp32")([image[0]])
        likeliest = shares.topk(3)
        assert [name for name, _ in row.top] == [_IMAGENET_CATEGORIES[i] for i in likeliest.indices]
        assert np.allclose([share for _, share in row.top], likeliest.values, atol=1e-4)


def test_what_was_assumed_is_said(checkpoint):
    said = "\n".join(bundle_of(checkpoint[0]).said)
    assert "checkpoint.pth.tar is resnet18, by torchvision" in said
    assert (
        "taken by convention: stem_pool=max" in said and "preprocessing by convention of torchvision's weights" in said
    )
    assert "called class 0 to class 999" in said and bundle_of(checkpoint[0]).classes[7] == "class 7"


def test_two_nets_of_one_file_have_two_hashes(tmp_path):
    path = tmp_path / "two.pth"
    torch.save({"model": net().state_dict(), "model_ema": net(seed=1).state_dict()}, path)
    hashes = {bundle_of(path, key=key).files["weights.safetensors"]["sha256"] for key in ("model", "model_ema")}
    assert len(hashes) == 2


def test_channels_without_a_convention_need_preprocessing(tmp_path):
    path = tmp_path / "radar.safetensors"
    theirs = net(num_classes=2)
    theirs.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    save_file(theirs.state_dict(), path)
    with pytest.raises(WeightsError, match=r"takes 1 channels.*--preprocessing"):
        bundle_of(path)
    settings = tmp_path / "pre.json"
    settings.write_text(
        json.dumps(
            {
                "mode": "L",
                "resize_px": 64,
                "crop_px": 64,
                "interpolation": "bilinear",
                "scale": 1.0,
                "mean": [0.5],
                "std": [0.25],
            }
        )
    )
    assert bundle_of(path, preprocessing=settings).preprocessing.mean == (0.5,)
    with pytest.raises(DataError, match="imagenet"):
        named_preprocessing("imagnet")


def test_labels(tmp_path):
    assert read_labels("imagenet-1k", 1000) == tuple(_IMAGENET_CATEGORIES)
    (tmp_path / "a.txt").write_text("cat\ndog\n\n")
    (tmp_path / "b.json").write_text('{"1": ["n02", "dog"], "0": ["n01", "cat"]}')
    (tmp_path / "c.json").write_text('{"id2label": {"0": "cat", "1": "dog"}}')
    for name in ("a.txt", "b.json", "c.json"):
        assert read_labels(tmp_path / name, 2) == ("cat", "dog")
    with pytest.raises(DataError, match="name 2 classes, and the network has 3"):
        read_labels(tmp_path / "a.txt", 3)
    (tmp_path / "d.json").write_text('{"0": "cat", "2": "dog"}')
    for name, words in (("d.json", "no list of names"), ("missing.txt", "There are no labels at")):
        with pytest.raises(DataError, match=words):
            read_labels(tmp_path / name, 2)


def test_hugging_faces_config_is_read(tmp_path):
    names = key_names("resnet50 classes=3", "Hugging Face")
    state = net("resnet50", num_classes=3).state_dict()
    save_file({name: state[key] for key, name in names.items()}, tmp_path / "model.safetensors")
    config = {
        "model_type": "resnet",
        "downsample_in_bottleneck": True,
        "hidden_act": "relu",
        "id2label": {"0": "a", "1": "b", "2": "c"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    bundle = bundle_of(tmp_path / "model.safetensors")
    assert (bundle.classes, bundle.spec.stride_in) == (("a", "b", "c"), "1x1")
    assert identify(tmp_path / "model.safetensors").fields["stride_in"].how == "known"
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_act": "silu"}))
    with pytest.raises(WeightsError, match="hidden_act silu"):
        bundle_of(tmp_path / "model.safetensors")


def test_a_network_for_bgr_images_becomes_one_for_rgb(tmp_path):
    names = key_names("resnet50 classes=0", "detectron2")
    theirs = net("resnet50")
    torch.save({"model": {name: theirs.state_dict()[key] for key, name in names.items()}}, tmp_path / "d2.pth")
    bundle = bundle_of(tmp_path / "d2.pth")
    assert np.array_equal(bundle.weights()["conv1.weight"], theirs.conv1.weight.detach().numpy()[:, ::-1])
    assert bundle.preprocessing.mean == (123.675, 116.28, 103.53)
