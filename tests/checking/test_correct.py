"""Correct networks, written by others and in several styles: nothing is said of them."""

from __future__ import annotations

import pytest
from planted import NETS
from reading_here import check_file, check_module

STYLES = {
    "Functional": "resnet20 depths=2,2,2 widths=8,16,32 stem_width=8 shortcut=B",
    "sequential": "resnet18 depths=2,2,2 widths=8,16,32 stem=3x3 stem_width=8 in_channels=1 classes=7",
    "cifar_bottleneck": "resnet50 depths=1,1,1,1 widths=8,16,32,64 stem=3x3 stem_width=8 classes=10",
    "Backbone": "resnet18 widths=8,16,32,64 stem_width=8 until=layer4",
}
TORCHVISION = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnext50_32x4d": "resnext50_32x4d",
}
TIMM = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet50c": "resnet50c",
    "resnet50d": "resnet50d",
    "resnet50s": "resnet50s",
    "resnet50t": "resnet50t",
    "resnet18d": "resnet18d",
    "seresnet50": "seresnet50",
    "ecaresnet50d": "resnet50d gate=eca",
    "resnetv2_50": "resnetv2_50",
    "resnet50_gn": "resnet50 norm=group",
    "resnext50_32x4d": "resnext50_32x4d",
    "wide_resnet50_2": "wide_resnet50_2",
}


def verdict(found):
    return str(found.spec), [(each.code, each.places) for each in found.findings], found.passed


@pytest.mark.parametrize("name", STYLES)
def test_own_styles(name):
    assert verdict(check_file(NETS / "styles.py", name)) == (STYLES[name], [], True)


def test_a_book_without_the_norm_on_its_projections():
    """d2l's Residual has no norm behind conv3 and keeps the biases: exactly that is said."""
    found = check_file(NETS / "styles.py", "Book")
    assert str(found.spec) == "resnet18 widths=8,16,32,64 stem_width=8 classes=10"
    assert [(each.code, each.level) for each in found.findings] == [
        ("shortcut_norm", "deviation"),
        ("bias_before_norm", "note"),
    ]
    assert len(found.findings[0].places) == 3


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    models = pytest.importorskip("torchvision.models")
    assert verdict(check_module(getattr(models, name)())) == (TORCHVISION[name], [], True)


def test_torchvision_dilated():
    models = pytest.importorskip("torchvision.models")
    net = models.resnet50(replace_stride_with_dilation=[False, True, True])
    assert verdict(check_module(net)) == ("resnet50 output_stride=8", [], True)


@pytest.mark.parametrize("name", [name for name in TIMM if name in ("resnet50d", "resnetv2_50")])
def test_timm(name):
    timm = pytest.importorskip("timm")
    assert verdict(check_module(timm.create_model(name))) == (TIMM[name], [], True)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["resnet34", "wide_resnet50_2", "resnext101_32x8d"])
def test_more_of_torchvision(name):
    models = pytest.importorskip("torchvision.models")
    assert verdict(check_module(getattr(models, name)())) == (name, [], True)


@pytest.mark.parity
@pytest.mark.parametrize("name", TIMM)
def test_all_of_timm(name):
    timm = pytest.importorskip("timm")
    assert verdict(check_module(timm.create_model(name))) == (TIMM[name], [], True)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("ResNetForImageClassification", {"num_labels": 5}, "resnet50 classes=5"),
        ("ResNetModel", {}, "resnet50 classes=0"),
        (
            "ResNetForImageClassification",
            {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "num_labels": 5},
            "resnet18 classes=5",
        ),
    ],
)
def test_transformers(name, options, words):
    transformers = pytest.importorskip("transformers")
    net = getattr(transformers, name)(transformers.ResNetConfig(**options))
    assert verdict(check_module(net)) == (words, [], True)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "words"),
    [("xresnet18", "resnet18d"), ("xresnet50", "resnet50d"), ("xresnext50", "resnext50_32x4d stem=deep shortcut=D")],
)
def test_fastai(name, words):
    xresnet = pytest.importorskip("fastai.vision.models.xresnet")
    assert verdict(check_module(getattr(xresnet, name)())) == (words, [], True)


@pytest.mark.parametrize("name", ["densenet121", "inception_v3", "mobilenet_v3_small", "vgg11"])
def test_networks_of_another_kind_are_said_to_be_none(name):
    """DenseNet's layers, each of which reads all before it, once took for ever; the others had a far-fetched nearest network."""
    models = pytest.importorskip("torchvision.models")
    more = {"init_weights": False, "aux_logits": False} if name == "inception_v3" else {}
    found = check_module(getattr(models, name)(**more))
    assert not found.passed
    if name != "vgg11":  # plain blocks, as a plain network has
        assert found.spec is None and [each.code for each in found.findings] in (["no_resnet"], ["no_spec"])
