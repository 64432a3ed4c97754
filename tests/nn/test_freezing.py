"""What is frozen stays, whatever .train() says; groups cover every learning tensor once."""

from __future__ import annotations

import copy

import pytest
import torch

import plusx
from living import enliven
from plusx.errors import GeometryError, SpecError

SMALL = "resnet18 widths=8,16,24,32 stem_width=8 classes=5"


def step(net):
    net.train()
    optimiser = torch.optim.SGD(plusx.param_groups(net, 0.1), momentum=0.9, weight_decay=1e-2)
    net(torch.randn(4, 3, 48, 48)).square().mean().backward()
    optimiser.step()


def changed(net, act):
    before = copy.deepcopy(net.state_dict())
    act(net)
    return {key for key, tensor in net.state_dict().items() if not torch.equal(tensor, before[key])}


@pytest.mark.parametrize("until", ["stem", "layer1", "layer2.0", "layer4"])
def test_frozen_parts_do_not_move(until):
    net = enliven(plusx.build(SMALL))
    plusx.freeze(net, until)
    frozen = {key for key, _ in plusx.lower(f"{SMALL} until={until}".replace("classes=5", "")).tensors()}
    moved = changed(net, step)
    assert moved == set(net.state_dict()) - frozen


def test_statistics_move_without_norm():
    net = enliven(plusx.build(SMALL))
    plusx.freeze(net, "layer1", norm=False)
    moved = changed(net, step)
    assert "layer1.0.bn1.running_mean" in moved
    assert "layer1.0.bn1.weight" not in moved


def test_train_and_eval_do_not_thaw():
    net = plusx.build(SMALL)
    plusx.freeze(net, "layer2")
    wrapped = torch.nn.Sequential(net)
    for act in (wrapped.train, wrapped.eval, wrapped.train, copy.deepcopy(wrapped).train):
        act()
        assert not net.layer2[1].bn2.training
    assert net.layer3[0].bn1.training
    plusx.freeze(net, "stem")
    assert net.layer2[1].bn2.training
    assert net.layer2[1].conv1.weight.requires_grad
    plusx.freeze(net, None)
    assert all(p.requires_grad for p in net.parameters())
    assert all(m.training for m in net.modules())


def test_refused():
    with pytest.raises(GeometryError, match=r"Did you mean 'layer3\.1'"):
        plusx.freeze(plusx.build(SMALL), "layer3.7")
    with pytest.raises(SpecError, match="Give freeze a ResNet"):
        plusx.freeze(torch.nn.Linear(2, 2), "layer1")
    with pytest.raises(SpecError, match="Leave it out"):
        plusx.param_groups(torch.nn.Linear(2, 2), 0.1, layer_decay=0.5)
    with pytest.raises(SpecError, match="layer_decay=0"):
        plusx.param_groups(plusx.build(SMALL), 0.1, layer_decay=0)


@pytest.mark.parametrize("words", [SMALL, "resnetv2_50 depths=1,1,1,1", "resnet50d depths=1,1,1,1 gate=cbam"])
def test_groups_cover_each_tensor_once(words):
    net = plusx.build(words)
    plusx.freeze(net, "stem")
    groups = plusx.param_groups(net, 0.1, weight_decay=0.05, layer_decay=0.5)
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {id(p) for p in net.parameters() if p.requires_grad}
    rates = {group["name"].split(",")[0]: group["lr"] for group in groups}
    assert rates == {"layer1": 0.00625, "layer2": 0.0125, "layer3": 0.025, "layer4": 0.05, "head": 0.1}
    still = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    named = {name: p for name, p in net.named_parameters() if p.requires_grad}
    assert {name for name, p in named.items() if id(p) in still} == {
        name for name, p in named.items() if name.endswith("bias") or p.ndim == 1
    }


def test_groups_of_anything():
    groups = plusx.param_groups(torch.nn.Linear(2, 2), 0.1, no_decay_on_norm_and_bias=False)
    assert [(g["name"], len(g["params"]), "weight_decay" in g) for g in groups] == [("all", 2, False)]
