"""`until` at every stage and block: keys stay, full files load, the output is what a hook sees on the full net."""

from __future__ import annotations

import logging

import pytest
import torch

import plusx
from living import assert_alive, enliven
from plusx.errors import WeightsError

NETS = ["resnet18", "resnet50 widths=8,16,32,64 stem_width=8", "preresnet110 depths=2,2,3 gate=se"]


def places(name):
    graph = plusx.lower(name)
    yield "stem"
    for stage in graph.stages:
        yield stage.name
        yield from (block.name for block in stage.blocks)


class Seen:
    """Maps that pass a place, copied before something in place changes them."""

    def __init__(self):
        self.maps = []

    def before(self, module, inputs):
        self.maps.append(inputs[0].clone())

    def after(self, module, inputs, out):
        self.maps.append(out.clone())


@pytest.mark.parametrize("name", NETS)
def test_every_cut(name, caplog):
    torch.manual_seed(0)
    full = enliven(plusx.build(name))
    state = full.state_dict()
    x, y = torch.randn(2, 2, 3, 48, 48)
    modules = dict(full.named_modules())
    for place in places(name):
        seen = Seen()
        if place == "stem":
            handle = full.layer1.register_forward_pre_hook(seen.before)
        else:
            handle = modules[place].register_forward_hook(seen.after)
        caplog.clear()
        with torch.inference_mode(), caplog.at_level(logging.INFO, "plusx"):
            full(x)
            full(y)
            handle.remove()
            cut = plusx.build(f"{name} until={place}", state).eval()
            assert_alive(*seen.maps)
            assert torch.equal(cut(x), seen.maps[0]), place
        assert all(torch.equal(value, state[key]) for key, value in cut.state_dict().items())
        assert ("skipped, behind until=" in caplog.text and "fc.weight" in caplog.text) or place != "stem"
        assert set(cut.state_dict()) == {key for key in state if kept(key, place)}


def kept(key, place):
    """Whether a key of the full net belongs to what is left of it when it is cut after `place`."""
    if key.startswith(("conv1", "bn1.")):
        return True
    if place == "stem" or not key.startswith("layer"):
        return False
    stage, _, block = place.removeprefix("layer").partition(".")
    return (int(key[5]), int(key.split(".")[1])) <= (int(stage), int(block or 999))


def test_what_is_before_the_cut_must_fit():
    state = plusx.build("resnet18").state_dict()
    with pytest.raises(WeightsError, match=r"hold layer1.0.conv3.weight, which resnet18 until=layer2 does not have"):
        plusx.build("resnet18 until=layer2", {**state, "layer1.0.conv3.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight is"):
        plusx.build("resnet50 until=layer2", state)
    short = {key: value for key, value in state.items() if not key.startswith("layer2.1.conv2")}
    with pytest.raises(WeightsError, match=r"weights lack layer2.1.conv2.weight"):
        plusx.build("resnet18", short)
    with pytest.raises(WeightsError, match=r"hold fc.weight, fc.bias, which resnet18 classes=0 does not have"):
        plusx.build("resnet18 classes=0", state)


def test_weights_given_as_a_dict_are_not_shared():
    state = plusx.build("resnet18 classes=2").state_dict()
    kept = state["fc.weight"].clone()
    net = plusx.build("resnet18 classes=2", state)
    with torch.no_grad():
        net.fc.weight.zero_()
    assert torch.equal(state["fc.weight"], kept)
