"""Blocks and stages by words: the same modules as inside a network, and one line for what cannot be."""

from __future__ import annotations

import pytest
import torch

import plusx
from living import enliven
from plusx.errors import SpecError

LIKE = {
    "basic c_in=8 c_out=8 n=2 first_shortcut=project": (
        "resnet18 depths=2 widths=8 stem_width=8 first_shortcut=project",
        "layer1",
    ),
    "basic c_in=8 c_out=16 stride=2 n=2": ("resnet18 depths=2,2 widths=8,16 stem_width=8", "layer2"),
    "bottleneck c_in=8 width=8 n=3 gate=se": ("resnet50 depths=3 widths=8 stem_width=8 gate=se", "layer1"),
    "bottleneck c_in=32 c_out=64 stride=2 n=2 groups=2 width_per_group=32 shortcut=D": (
        "resnet50 depths=1,2 widths=8,16 stem_width=8 groups=2 width_per_group=32 shortcut=D",
        "layer2",
    ),
    "basic c_in=8 c_out=16 stride=2 n=2 order=pre act=silu join=modulate": (
        "resnet18 depths=2,2 widths=8,16 stem_width=8 order=pre act=silu join=modulate",
        "layer2",
    ),
    "bottleneck c_in=8 width=8 n=2 stride=2 stride_in=1x1 norm=group4": (
        "resnet50 depths=2 strides=2 widths=8 stem_width=8 stride_in=1x1 norm=group4",
        "layer1",
    ),
}


@pytest.mark.parametrize("words", LIKE)
def test_a_stage_is_the_networks(words):
    network, name = LIKE[words]
    theirs = enliven(getattr(plusx.build(network), name))
    ours = plusx.stage(words).eval()
    ours.load_state_dict(theirs.state_dict())
    c_in = int(words.split("c_in=")[1].split()[0])
    x = torch.randn(2, c_in, 17, 19)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))
    assert str(ours) == str(theirs)


def test_one_block():
    block = plusx.block("basic c_in=64 c_out=128 stride=2 join=modulate")
    assert block(torch.randn(2, 64, 9, 9)).shape == (2, 128, 5, 5)
    assert all(torch.isfinite(p).all() for p in block.parameters())


def test_dilation_reaches_every_3x3_and_nothing_else():
    stage = plusx.stage("bottleneck c_in=32 width=8 n=2 dilation=2")
    assert [b.conv2.dilation for b in stage] == [(2, 2), (2, 2)]
    assert all(b.downsample is None for b in stage)
    assert stage(torch.randn(1, 32, 11, 11)).shape == (1, 32, 11, 11)
    wide = plusx.block("basic c_in=8 c_out=16 dilation=2 shortcut_kernel=3x3")
    assert (wide.conv1.dilation, wide.conv2.dilation, wide.downsample[0].dilation) == ((2, 2),) * 3


def test_zero_init_starts_as_identity():
    block = plusx.block("basic c_in=8 c_out=8 zero_init=yes")
    x = torch.rand(2, 8, 8, 8)
    assert torch.equal(block(x), x)


REFUSED = {
    "basik c_in=4 c_out=4": "Did you mean 'basic'",
    "": "It is the first word",
    "basic c_in=4": "needs c_in, and c_out or width",
    "bottleneck c_in=4 c_out=6": "not a multiple of 4, and the output of a bottleneck is. Write 4 or 8",
    "bottleneck c_in=4 c_out=8 width=4": "has 16 channels",
    "basic c_in=4 c_out=8 strid=2": "Did you mean 'stride'",
    "basic c_in=4 c_out=8 stride=3": "from 1 to 2",
    "basic c_in=4 c_out=8 stride": "key=value",
    "basic c_in=4 c_in=4 c_out=8": "written twice",
    "basic c_in=4 c_out=8 n=2": "plusx.stage",
    "basic c_in=4 c_out=8 groups=3": "Allowed: 1, 2, 4",
    "basic c_in=4 c_out=8 join=modulate shortcut=none": "Write shortcut=B",
    "basic c_in=4 c_out=8 stride_in=1x1": "only one convolution that can stride",
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused_in_one_line(words):
    with pytest.raises(SpecError, match=REFUSED[words]) as caught:
        plusx.block(words)
    assert "\n" not in str(caught.value)
