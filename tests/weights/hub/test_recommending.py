"""`imagenet` is the best for the network: good frozen features before accuracy (arXiv 2010.16402)."""

from __future__ import annotations

import pytest

import plusx
from plusx.errors import WeightsError
from plusx.weights.hub import names


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("resnet18", "torchvision/resnet18:IMAGENET1K_V1"),
        ("resnet34", "torchvision/resnet34:IMAGENET1K_V1"),
        ("resnet50", "torchvision/resnet50:IMAGENET1K_V1"),
        ("resnet101", "torchvision/resnet101:IMAGENET1K_V1"),
        ("resnet152", "torchvision/resnet152:IMAGENET1K_V1"),
        ("resnext50_32x4d", "torchvision/resnext50_32x4d:IMAGENET1K_V1"),
        ("resnext101_32x8d", "torchvision/resnext101_32x8d:IMAGENET1K_V1"),
        ("resnext101_64x4d", "torchvision/resnext101_64x4d:IMAGENET1K_V1"),
        ("wide_resnet50_2", "torchvision/wide_resnet50_2:IMAGENET1K_V1"),
        ("wide_resnet101_2", "torchvision/wide_resnet101_2:IMAGENET1K_V1"),
        ("resnet50d", "timm/resnet50d.ra2_in1k"),
        ("resnet50 depths=2,2,2,2", "hf:microsoft/resnet-26"),
        ("resnet50 stride_in=1x1", "keras/resnet50"),
        ("resnet50 classes=10 in_channels=4", "torchvision/resnet50:IMAGENET1K_V1"),
        ("resnet50 until=layer3", "torchvision/resnet50:IMAGENET1K_V1"),
        ("resnet50 output_stride=8 multi_grid=1,2,4 dilate=grid", "torchvision/resnet50:IMAGENET1K_V1"),
        ("resnet50 strides=1,2,1,1 dilations=1,1,2,4", "torchvision/resnet50:IMAGENET1K_V1"),
        ("resnet50 norm=frozen drop_path=0.1 head_dropout=0.5", "torchvision/resnet50:IMAGENET1K_V1"),
        ("resnet18 zero_init=yes", "torchvision/resnet18:IMAGENET1K_V1"),
    ],
)
def test_the_weights_of_a_network(network: str, name: str) -> None:
    found = names.read_name("imagenet", plusx.spec(network))
    assert found.name == name
    assert found.said[0].startswith(f"{name} is taken")


@pytest.mark.parametrize(
    "network",
    ["resnet20", "plain18", "resnet18 gate=se", "resnet50 norm=group", "resnet18 stem=3x3", "resnet50 act=silu"],
)
def test_a_network_without_weights_is_refused(network: str) -> None:
    with pytest.raises(WeightsError, match=r"^No ImageNet weights are known for .*\. There are some for resnet18, "):
        names.read_name("imagenet", plusx.spec(network))


@pytest.mark.parametrize(
    ("short", "name"),
    [
        ("torchvision/resnet50", "torchvision/resnet50:IMAGENET1K_V1"),
        ("timm/resnet50", "timm/resnet50.tv_in1k"),
        ("timm/resnet18", "timm/resnet18.fb_swsl_ig1b_ft_in1k"),
        ("timm/resnet50d", "timm/resnet50d.ra2_in1k"),
    ],
)
def test_a_network_of_a_library_means_its_best_weights_and_says_so(short: str, name: str) -> None:
    found = names.read_name(short)
    assert found.name == name and name in found.said[0]
    assert names.read_name(name).said == ()
