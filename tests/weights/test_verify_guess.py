"""Proof by outputs, and what is hidden found again from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from storing import net
from torch import nn

import plusx
from living import enliven
from plusx.data import Data
from plusx.errors import WeightsError
from plusx.names import key_names
from plusx.weights.guessing import guess
from plusx.weights.verification import verify


def test_the_same_net_under_two_names(tmp_path):
    theirs = net("resnet50", num_classes=4)
    state = theirs.state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "a.pth")
    save_file(
        {name: state[key] for key, name in key_names("resnet50 classes=4", "Hugging Face").items()},
        tmp_path / "b.safetensors",
    )
    found = verify(tmp_path / "a.pth", tmp_path / "b.safetensors", size_px=64)
    assert found.same and found.relative <= 1e-6 and "compute the same" in str(found)
    other = verify(
        tmp_path / "a.pth", tmp_path / "b.safetensors", other_spec="resnet50 stride_in=1x1 classes=4", size_px=64
    )
    assert not other.same and other.relative > 1e-2 and "differ" in str(other)


def test_dead_nets_prove_nothing(tmp_path):
    theirs = torchvision.models.resnet18(num_classes=4)
    with torch.no_grad():
        theirs.fc.weight.zero_()
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    found = verify(tmp_path / "a.pth", tmp_path / "a.pth", size_px=64)
    assert not found.same and "this proves nothing" in str(found)


def hidden(words):
    theirs = enliven(plusx.build(words))
    x = torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        return theirs, x


@pytest.mark.parametrize(("words", "expected"), [
    ("resnet50 stride_in=1x1 stem_pool=caffe classes=5", ("stride_in=1x1", "stem_pool=caffe")),
    ("resnet18 norm=group8 classes=5", ("stem_pool=max", "norm=group8")),
    ("resnet20 shortcut_align=centre", ("shortcut=A", "shortcut_align=centre")),
    ("plain20", ("shortcut=none",)),
])  # fmt: skip
def test_outputs_tell_what_names_do_not(words, expected, tmp_path):
    theirs, x = hidden(words)
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    with torch.inference_mode():
        y = theirs(x.flip(1)).numpy()
    best, *others = guess(tmp_path / "a.pth", inputs=x.numpy(), outputs=y)
    assert (best.words, best.colour) == (expected, "BGR")
    assert best.score > -1e-5 and max(other.score for other in others) < -1e-3


def test_labelled_images_tell_colours_and_normalisation(tmp_path):
    """A net whose logits are the means of blue and red as detectron2 sees them: brighter in blue is class 0."""
    theirs = net("resnet18", num_classes=2)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            (
                nn.init.zeros_(module.running_mean),
                nn.init.ones_(module.running_var),
                nn.init.zeros_(module.bias),
                nn.init.ones_(module.weight),
            )
    with torch.no_grad():
        for name, tensor in theirs.named_parameters():
            if name.endswith("conv2.weight"):
                tensor.zero_()
        theirs.conv1.weight.zero_()
        theirs.conv1.weight[0, 0, 3, 3], theirs.conv1.weight[1, 2, 3, 3] = 0.02, 0.02
        theirs.fc.weight.zero_()
        for stage in (theirs.layer2, theirs.layer3, theirs.layer4):
            stage[0].downsample[0].weight.zero_()
            stage[0].downsample[0].weight[0, 0], stage[0].downsample[0].weight[1, 1] = 1, 1
        theirs.fc.weight[0, 0], theirs.fc.weight[1, 1] = 1, 1
        theirs.fc.bias.zero_()
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    make = np.random.default_rng(0)
    images = make.integers(0, 120, (16, 64, 64, 3), dtype=np.uint8)
    labels = np.arange(16) % 2
    images[labels == 0, ..., 2] += 130
    images[labels == 1, ..., 0] += 130
    data = Data("memory", ("blue", "red"), 3, labels.astype(np.int64), [str(i) for i in range(16)], "x", images)
    best = guess(tmp_path / "a.pth", data=data, images=6)[0]
    assert (best.colour, best.evidence.split(",")[0]) == ("BGR", "6 of 6 right")
    assert best.normalisation in ("detectron", "keras")


def test_nothing_to_guess_from(tmp_path):
    torch.save(net(num_classes=4).state_dict(), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="nothing to guess from"):
        guess(tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="as many inputs"):
        guess(tmp_path / "a.pth", outputs=np.zeros((2, 4)))
