"""`load`: the network in a file, bundle or run."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import save_file

import plusx
from living import enliven
from plusx.bundles import save_bundle
from plusx.errors import SpecError, WeightsError
from plusx.images import Preprocessing
from plusx.specs import parse
from plusx.weights import identify, lines

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
    with pytest.raises(
        WeightsError, match=r"holds resnet18 widths.*, not resnet50: .*Give the words of the network in the file"
    ):
        plusx.load(path, spec="resnet50")
    with pytest.raises(WeightsError, match="There is no weights file"):
        plusx.load(tmp_path / "none.pth")
    save_file({"a.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="holds no ResNet"):
        plusx.load(path)


def test_what_did_not_fit_is_named(net, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "plusx")
    """A new head, an adapted input and chosen bands each name the tensors that the file had otherwise."""
    path = tmp_path / "net.pth"
    torch.save({"state_dict": {f"model.{key}": value for key, value in net.state_dict().items()}}, path)
    plusx.load(path, head="new", classes=2)
    assert "net.pth: fc.weight, fc.bias did not fit and are skipped" in caplog.text
    caplog.clear()
    grey = plusx.load(path, spec=f"{NET} in_channels=1", input="adapt")
    assert "conv1.weight did not fit and is adapted from 3 to 1 channels: all channels are summed" in caplog.text
    caplog.clear()
    plusx.load(path)
    assert not caplog.records, "nothing that matters was assumed"
    torch.save(grey.state_dict(), path)
    plusx.load(path)
    both = plusx.load(
        path, spec=f"{NET.replace('classes=5', 'classes=7')} in_channels=4", input="adapt", head="new", classes=2
    )
    assert (both.spec.in_channels, both.spec.classes) == (4, 2)


def test_fewer_bands_are_chosen_or_refused(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "plusx")
    torch.manual_seed(0)
    wide = enliven(plusx.build(f"{NET} in_channels=13")).eval()
    path = tmp_path / "bands.pth"
    torch.save(wide.state_dict(), path)
    with pytest.raises(SpecError, match=r"3 channels cannot replace 13"):
        plusx.load(path, spec=f"{NET} in_channels=3", input="adapt")
    rgb = plusx.load(path, spec=f"{NET} in_channels=3", input="adapt", bands=(3, 2, 1))
    assert "channels 3, 2, 1 of the file are kept and the others dropped" in caplog.text
    x = torch.randn(2, 3, 40, 40)
    whole = torch.zeros(2, 13, 40, 40)
    whole[:, [3, 2, 1]] = x
    with torch.inference_mode():
        torch.testing.assert_close(rgb(x), wide(whole), rtol=1e-4, atol=1e-4)
    with pytest.raises(SpecError, match="input='adapt'"):
        plusx.load(path, bands=(0, 1, 2))


def test_fields_that_no_file_shows_are_warned_of(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "plusx")
    """Beside a segmentation head the dilation is a default, which is logged as a warning."""
    state = enliven(plusx.build("resnet18 classes=0")).state_dict()
    torch.save(
        {f"backbone.{key}": value for key, value in state.items()} | {"aspp.0.weight": torch.zeros(8, 512, 1, 1)},
        tmp_path / "x.pth",
    )
    plusx.load(tmp_path / "x.pth")
    assert "not shown by the file, taken as: " in caplog.text and "dilations=1,1,1,1" in caplog.text


def test_a_predictor_of_a_file(net, tmp_path):
    pytest.importorskip("openvino")
    torch.save(net.state_dict(), tmp_path / "net.pth")
    say = plusx.predictor(tmp_path / "net.pth", labels=["a", "b", "c", "d", "e"], threads=1)
    (row,) = say([torch.full((64, 64, 3), 90, dtype=torch.uint8).numpy()])
    x = (torch.full((1, 3, 224, 224), 90 / 255) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    with torch.inference_mode():
        wanted = torch.softmax(net.eval()(x)[0], 0)
    assert dict(row.top) == pytest.approx(dict(zip("abcde", wanted.tolist(), strict=True)), abs=2e-3)
    net18 = plusx.resnet18(weights=str(tmp_path / "net.pth"), widths="8,16,24,32", stem_width=8, classes=5)
    assert torch.equal(net18.conv1.weight, net.conv1.weight)


def test_what_plusx_wrote_states_spec_and_preprocessing(net, tmp_path):
    """In its own safetensors files, and in the bundle.json around the weights of a bundle."""
    state = net.state_dict()
    path, pre = tmp_path / "net.safetensors", json.dumps(PRE.to_dict())
    save_file(state, path, metadata={"plusx.spec": f"{NET} act=silu", "plusx.preprocessing": pre})
    arrays = {key: value.numpy() for key, value in state.items()}
    save_bundle(tmp_path / "b", parse(f"{NET} act=silu"), list("abcde"), PRE, arrays)
    for file, why in (
        (path, "the file states its spec"),
        (tmp_path / "b" / "weights.safetensors", "its bundle states"),
    ):
        found = identify(file)
        assert found.spec is not None and found.spec.act == "silu" and why in found.family_why
        assert found.preprocessing == PRE and any("as the file states" in line for line in lines(found))
        assert plusx.load(file).preprocessing == PRE
    assert identify(tmp_path / "b" / "weights.safetensors").classes == tuple("abcde")
    save_file(state, path, metadata={"plusx.spec": NET, "plusx.preprocessing": "{"})
    with pytest.raises(WeightsError, match="states a preprocessing that cannot be read"):
        plusx.load(path)
