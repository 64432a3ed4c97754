"""Names elsewhere: the reference's examples, every dialect invertible, and the real keys of torchvision and timm."""

from __future__ import annotations

import pytest

from plusx import lower, presets
from plusx.errors import GeometryError, SpecError
from plusx.names import ECOSYSTEMS, inverse, key_names, names_of, op_names

# one tensor in every ecosystem, as the systems' own files name it
RUNNING_VAR = {
    "torchvision": "layer3.0.downsample.1.running_var",
    "timm": "layer3.0.downsample.1.running_var",
    "MMDetection": "backbone.layer3.0.downsample.1.running_var",
    "mmpretrain": "backbone.layer3.0.downsample.1.running_var",
    "detectron2": "backbone.bottom_up.res4.0.shortcut.norm.running_var",
    "MSRA pkl": "res4_0_branch1_bn_running_var",
    "Caffe": "bn4a_branch1[1]",
    "Hugging Face": "resnet.encoder.stages.2.layers.0.shortcut.normalization.running_var",
    "Keras": "conv4_block1_0_bn/moving_variance",
    "Paddle": "blocks.7.short.bn._variance",
}
# sections 3.2 to 3.8: (network, our key, ecosystem, their key)
KEYS = [
    ("resnet50", "conv1.weight", "detectron2", "backbone.bottom_up.stem.conv1.weight"),
    ("resnet50", "bn1.running_mean", "detectron2", "backbone.bottom_up.stem.conv1.norm.running_mean"),
    ("resnet50", "conv1.weight", "Hugging Face", "resnet.embedder.embedder.convolution.weight"),
    (
        "resnet50",
        "layer2.1.conv3.weight",
        "Hugging Face",
        "resnet.encoder.stages.1.layers.1.layer.2.convolution.weight",
    ),
    ("resnet50", "fc.bias", "Hugging Face", "classifier.1.bias"),
    ("resnet50", "conv1.weight", "MSRA pkl", "conv1_w"),
    ("resnet50_caffe", "conv1.bias", "MSRA pkl", "conv1_b"),
    ("resnet50", "bn1.weight", "MSRA pkl", "res_conv1_bn_gamma"),
    ("resnet50", "layer1.0.conv2.weight", "MSRA pkl", "res2_0_branch2b_w"),
    ("resnet50", "fc.weight", "MSRA pkl", "pred_w"),
    ("resnet50", "layer1.0.bn1.weight", "Caffe", "scale2a_branch2a[0]"),
    ("resnet50", "layer3.5.conv3.weight", "Caffe", "res4f_branch2c[0]"),
    ("resnet101", "layer3.22.conv3.weight", "Caffe", "res4b22_branch2c[0]"),
    ("resnet101", "layer2.3.conv1.weight", "Caffe", "res3b3_branch2a[0]"),
    ("resnet152", "layer2.7.conv1.weight", "Caffe", "res3b7_branch2a[0]"),
    ("resnet152", "layer3.35.conv1.weight", "Caffe", "res4b35_branch2a[0]"),
    ("resnet152", "layer4.2.conv1.weight", "Caffe", "res5c_branch2a[0]"),
    ("resnet50", "fc.weight", "Caffe", "fc1000[0]"),
    ("resnet50", "layer2.3.conv1.weight", "Keras", "conv3_block4_1_conv/kernel"),
    ("resnet50", "fc.bias", "Keras", "predictions/bias"),
    ("resnet50", "layer4.0.conv2.weight", "Paddle", "blocks.13.conv1.conv.weight"),
    ("resnet50d", "conv1.6.weight", "Paddle", "stem.2.conv.weight"),
    ("resnet50d", "layer2.0.downsample.1.weight", "timm", "layer2.0.downsample.1.weight"),
    ("resnet50d", "bn1.weight", "MMDetection", "backbone.stem.7.weight"),
    ("resnet50d", "conv1.3.weight", "MMDetection", "backbone.stem.3.weight"),
    ("resnet50d", "conv1.3.weight", "mmpretrain", "backbone.stem.1.conv.weight"),
    ("resnet50d", "bn1.bias", "mmpretrain", "backbone.stem.2.bn.bias"),
    ("resnet50d", "layer1.0.downsample.1.weight", "MMDetection", "backbone.layer1.0.downsample.1.weight"),
    ("resnet50d", "layer1.0.downsample.1.weight", "mmpretrain", "backbone.layer1.0.downsample.0.weight"),
    ("resnet50d", "layer2.0.downsample.2.running_var", "mmpretrain", "backbone.layer2.0.downsample.2.running_var"),
    ("resnet50 norm=group", "layer1.0.bn2.weight", "mmpretrain", "backbone.layer1.0.gn2.weight"),
    ("seresnet50", "layer1.0.se.fc1.bias", "mmpretrain", "backbone.layer1.0.se_layer.conv1.conv.bias"),
    ("seresnet50", "layer1.0.se.fc2.weight", "timm", "layer1.0.se.fc2.weight"),
    ("resnetv2_50", "layer3.0.downsample.0.weight", "timm", "stages.2.blocks.0.downsample.conv.weight"),
    ("resnetv2_50", "norm.weight", "timm", "norm.weight"),
    ("resnet50", "fc.weight", "mmpretrain", "head.fc.weight"),
]


def test_the_references_example_in_every_ecosystem():
    assert set(RUNNING_VAR) == set(ECOSYSTEMS)
    ours = "layer3.0.downsample.1.running_var"
    assert {ecosystem: key_names("resnet50", ecosystem)[ours] for ecosystem in ECOSYSTEMS} == RUNNING_VAR


@pytest.mark.parametrize(("network", "ours", "ecosystem", "theirs"), KEYS)
def test_keys(network, ours, ecosystem, theirs):
    assert key_names(network, ecosystem)[ours] == theirs


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
@pytest.mark.parametrize("network", [name for name in presets if name not in ("preresnet1001", "resnet1202")])
def test_maps_are_invertible_and_name_real_keys(network, ecosystem):
    names = key_names(network, ecosystem)
    back = inverse(names)
    assert {theirs: ours for ours, theirs in names.items()} == back
    assert len(back) == len(names)
    assert set(names) <= {key for key, _ in lower(network).tensors()}


def test_what_an_ecosystem_lacks_has_no_name():
    assert set(names_of("resnetv2_50", "layer1.0.conv1")) == {"timm"}
    assert "torchvision" not in names_of("resnet50d", "layer2.0.downsample.1")
    assert "torchvision" not in names_of("resnet50d", "conv1.0")
    assert "Caffe" not in names_of("resnet50 norm=group", "layer1.0.bn1")
    assert set(names_of("seresnet50", "layer1.0.se")) == {"timm", "mmpretrain"}
    assert names_of("plain18", "layer1.0.relu2")["Caffe"] == "res2a_relu"
    assert names_of("resnet50", "layer1.0.add") == {"Caffe": "res2a", "Keras": "conv2_block1_add"}
    assert names_of("resnet50 join=mul", "layer1.0.mul") == {}
    assert "fc.weight" not in key_names("resnet50", "MMDetection")


def test_op_names_cover_a_classical_net():
    graph = lower("resnet50")
    weighted = {op.name for op in graph.ops if op.tensors}
    for ecosystem in ECOSYSTEMS:
        missing = weighted - set(op_names(graph, ecosystem))
        assert missing == ({"fc"} if ecosystem == "MMDetection" else set())


def test_torchvisions_real_keys():
    models = pytest.importorskip("torchvision.models")
    import torch

    for name in ("resnet18", "resnet50", "resnext50_32x4d"):
        with torch.device("meta"):
            keys = set(getattr(models, name)().state_dict())
        assert set(key_names(name, "torchvision").values()) == keys


@pytest.mark.parametrize(
    "name", ["resnet50", "resnet34", "resnet50d", "resnet50t", "seresnet50", "resnetv2_50", "resnet18d"]
)
def test_timms_real_keys(name):
    timm = pytest.importorskip("timm")
    import torch

    with torch.device("meta"):
        keys = set(timm.create_model(name).state_dict())
    assert set(key_names(name, "timm").values()) == keys


def test_unknown_words():
    with pytest.raises(SpecError, match=r"unknown ecosystem 'caffe2'\. Did you mean 'Caffe'"):
        key_names("resnet50", "caffe2")
    with pytest.raises(GeometryError, match=r"layer1\.0\.conv1"):
        names_of("resnet50", "layer1.0.convl1")
    with pytest.raises(SpecError, match="is the name of both"):
        inverse({"a": "x", "b": "x"})
