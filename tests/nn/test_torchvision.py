"""torchvision is the origin of the classical nets: same keys, same print, same outputs with living statistics."""

from __future__ import annotations

import pytest
import torch
import torchvision

import plusx
from living import assert_alive, enliven, relative

CLASSICAL = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
OTHERS = ["resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"]
TOLERANCE = 1e-5


def reference(name, **options):
    torch.manual_seed(0)
    net = enliven(getattr(torchvision.models, name)(**options))
    x = torch.randn(2, 3, 65, 97)
    with torch.inference_mode():
        out = net(x)
        assert_alive(out, net(torch.randn(2, 3, 65, 97)))
    return net, x, out


def outputs(net, x):
    with torch.inference_mode():
        return net.eval()(x)


DEEP = ("101", "152")
"""More of the same blocks; tests/analysis and tests/text hold their numbers and their print."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * any(deep in n for deep in DEEP)) for n in (*CLASSICAL, *OTHERS)],
)
def test_keys_print_and_outputs_are_torchvisions(name):
    theirs, x, out = reference(name)
    ours = plusx.build(name, theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert str(ours) == str(theirs)
    assert relative(outputs(ours, x), out) <= TOLERANCE


@pytest.mark.parametrize(
    "first, second",
    [("layer1.0.bn1.weight", "layer1.0.bn2.weight"), ("layer2.1.conv1.weight", "layer2.1.conv2.weight")],
)
def test_swapping_two_tensors_of_one_shape_is_seen(first, second):
    theirs, x, out = reference("resnet18")
    state = theirs.state_dict()
    state[first], state[second] = state[second], state[first]
    assert relative(outputs(plusx.build("resnet18", state), x), out) > 100 * TOLERANCE


def test_nan_and_dead_references_are_refused():
    with pytest.raises(AssertionError, match="not finite"):
        assert_alive(torch.tensor([1.0, float("nan")]), torch.zeros(2))
    with pytest.raises(AssertionError, match="constant"):
        assert_alive(torch.ones(4), torch.zeros(4))
    with pytest.raises(AssertionError, match="does not depend"):
        assert_alive(torch.arange(4.0), torch.arange(4.0))
    assert relative(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")


@pytest.mark.parametrize(
    "words, places",
    [
        ("resnet50 output_stride=16 dilate=previous", [False, False, True]),
        ("resnet50 output_stride=8 dilate=previous", [False, True, True]),
    ],
)
def test_dilation_previous_is_torchvisions(words, places):
    theirs, x, out = reference("resnet50", replace_stride_with_dilation=places)
    assert relative(outputs(plusx.build(words, theirs.state_dict()), x), out) <= TOLERANCE


def test_stride_in_1x1_fits_by_shape_and_differs():
    theirs, x, out = reference("resnet50")
    assert relative(outputs(plusx.build("resnet50 stride_in=1x1", theirs.state_dict()), x), out) > 100 * TOLERANCE


@pytest.mark.parametrize("name", CLASSICAL)
def test_shorthands(name):
    net = getattr(plusx, name)(classes=3, in_channels=1)
    assert net.fc.out_features == 3 and net.conv1.in_channels == 1
    assert net.spec == plusx.spec(f"{name} classes=3 in_channels=1")
