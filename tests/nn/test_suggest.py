"""Weights tell which spec they are, and an error says it."""

from __future__ import annotations

import pytest
import torch
import torchvision

import plusx
from plusx.errors import WeightsError
from plusx.names.shapes import shapes_of, suggest

HIDDEN = {
    **{f"plain{n}": f"resnet{n}" for n in (20, 32, 44, 56, 110)},
    "plain18": "plain18 shortcut=A",
    "plain34": "plain34 shortcut=A",
    "preresnet164": "preresnet164 stride_in=3x3",
    "preresnet1001": "preresnet1001 stride_in=3x3",
    "resnet50_caffe": "resnet50 stem_bias=yes",
    "resnet101_caffe": "resnet101",
    "resnet152_caffe": "resnet152",
    "resnet50_siamrpn": "resnet50 shortcut_kernel=3x3 classes=0",
    "resnet50_siammask": "resnet50 depths=3,4,6 shortcut_kernel=3x3 classes=0",
}
"""Presets whose difference no tensor shows, and what is suggested instead: it has the same tensors."""

OTHERS = [
    "resnet18 shortcut=C", "resnet18 norm=group", "resnet18 norm=none", "resnet18 gate=cbam", "resnet18 stem=deep2",
    "resnet18 groups=2", "resnet18 first_shortcut=project", "resnet18 gate=se gate_ratio=1/8", "resnet18 in_channels=4",
    "resnet18 classes=0", "resnet50 widths=16,32,64,128 stem_width=16", "resnet18 order=pre gate=eca",
]  # fmt: skip


@pytest.mark.parametrize("name", [*plusx.presets, *OTHERS])
def test_each_network_is_found(name):
    wanted = dict(plusx.lower(name).tensors())
    found = suggest({key: tensor.shape for key, tensor in wanted.items()})
    assert found == plusx.spec(HIDDEN.get(name, name))
    assert dict(plusx.lower(found).tensors()) == wanted


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_torchvisions_own(name):
    with torch.device("meta"):
        state = getattr(torchvision.models, name)(num_classes=7).state_dict()
    assert str(suggest(shapes_of(state))) == f"{name} classes=7"


def test_other_things_are_not_guessed():
    assert suggest({}) is None
    assert suggest({"features.0.weight": (8, 3, 3, 3)}) is None
    shapes = {key: t.shape for key, t in plusx.lower("resnet18").tensors()}
    assert suggest({**shapes, "extra.weight": (3,)}) is None
    assert suggest({**shapes, "layer3.1.conv2.weight": (256, 256, 5, 5)}) is None


MISFITS = {
    "resnet50": r"layer1.0.conv1.weight is \[64, 64, 3, 3\] in the weights and \[64, 64, 1, 1\] in resnet50, and 25 tensors differ",
    "resnet34 classes=10": r"lack layer1.2.conv1.weight",
    "resnet18": r"fc.weight is \[10, 512\].*plusx.new_head.$",
    "resnet18 classes=10 in_channels=1": r"plusx.adapt_input.$",
    "resnet18 classes=10 gate=se": r"plusx.add_gates.$",
    "plain18 classes=10": r"hold layer2.0.downsample",
}


@pytest.mark.parametrize("asked", MISFITS)
def test_an_error_names_the_spec_that_fits(asked):
    state = plusx.build("resnet18 classes=10").state_dict()
    with pytest.raises(WeightsError, match=MISFITS[asked]) as caught:
        plusx.build(asked, state)
    assert "'resnet18 classes=10'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_old_files_have_no_counters():
    state = plusx.build("resnet18 gate=cbam classes=3").state_dict()
    old = {key: value for key, value in state.items() if "batches" not in key}
    assert str(suggest(shapes_of(old))) == "resnet18 gate=cbam classes=3"
    plusx.build("resnet18 gate=cbam classes=3", old)
