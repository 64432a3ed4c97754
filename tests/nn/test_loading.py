"""`load`: the network in a file, bundle or run."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

import plusx
from living import enliven
from plusx.bundles import save_bundle
from plusx.errors import SpecError, WeightsError
from plusx.images import Preprocessing

NET = "resnet18 widths=8,16,24,32 stem_width=8 classes=5"
PRE = Preprocessing("RGB", 32, 32)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return enliven(plusx.build(NET))


def same(a, b, channels=3):
    x = torch.randn(2, channels, 40, 40)
    with torch.inference_mode():
        return torch.equal(a(x), b(x))


@pytest.mark.parametrize("kind", ["safetensors", "pth", "bundle"])
def test_what_was_saved_is_loaded(net, tmp_path, kind):
    state = net.state_dict()
    path = tmp_path / f"net.{kind}"
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "pth":
        torch.save(state, path)
    else:
        arrays = {key: value.numpy() for key, value in state.items()}
        save_bundle(path, net.spec, [f"class {i}" for i in range(5)], PRE, arrays)
    again = plusx.load(path)
    assert again.spec == net.spec and not again.training and same(again, net)
    assert (again.preprocessing == PRE) == (kind == "bundle")
    new = plusx.load(path, head="new", classes=2)
    assert new.fc.out_features == 2 and new.spec.classes == 2
    alone = plusx.load(path, classes=2)  # classes alone means a new head
    assert alone.spec == new.spec and torch.equal(alone.layer2[0].conv1.weight, net.layer2[0].conv1.weight)
    grey = plusx.load(path, spec=f"{NET} in_channels=1", input="adapt")
    assert grey.spec.in_channels == 1
    x = torch.randn(2, 1, 40, 40)
    with torch.inference_mode():  # the rule for one channel: the sum over the three (timm adapt_input_conv)
        torch.testing.assert_close(grey(x), net(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_bad_wishes(net, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(net.state_dict(), path)
    with pytest.raises(SpecError, match="contradicts classes=3"):
        plusx.load(path, classes=3, head="keep")
    with pytest.raises(SpecError, match="needs a number of classes"):
        plusx.load(path, head="new")
    with pytest.raises(SpecError, match=r"unknown head 'nwe'\. Did you mean 'new'"):
        plusx.load(path, head="nwe", classes=3)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"unknown input 'adpat'\. Did you mean 'adapt'"):
        plusx.load(path, input="adpat")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="Give spec with in_channels"):
        plusx.load(path, input="adapt")
    with pytest.raises(WeightsError, match="They match 'resnet18"):
        plusx.load(path, spec="resnet50")
    with pytest.raises(WeightsError, match="There is no weights file"):
        plusx.load(tmp_path / "none.pth")
    save_file({"a.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="No network of plusx has exactly the tensors of"):
        plusx.load(path)
