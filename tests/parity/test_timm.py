"""timm's nets: same keys (a map for v2), same outputs with living statistics."""

from __future__ import annotations

import re

import pytest
import torch

import plusx
from living import assert_alive, enliven, relative

pytestmark = pytest.mark.parity
timm = pytest.importorskip("timm")
TOLERANCE = 1e-5

# plusx words -> timm model and its options
PEERS = {
    "resnet18": ("resnet18", {}),
    "resnet50": ("resnet50", {}),
    "resnet50c": ("resnet50c", {}),
    "resnet50d": ("resnet50d", {}),
    "resnet50s": ("resnet50s", {}),
    "resnet50t": ("resnet50t", {}),
    "resnet18d": ("resnet18d", {}),
    "resnet34d": ("resnet34d", {}),
    "resnet200": ("resnet200", {}),
    "seresnet50": ("seresnet50", {}),
    "ecaresnet50": ("resnet50", {"block_args": {"attn_layer": "eca"}}),
    "resnet50 gate=cbam": ("resnet50", {"block_args": {"attn_layer": "cbam"}}),
    "resnet18 gate=se": ("resnet18", {"block_args": {"attn_layer": "se"}}),
    "resnext50_32x4d": ("resnext50_32x4d", {}),
    "wide_resnet50_2": ("wide_resnet50_2", {}),
    "resnet50 norm=group": ("resnet50_gn", {}),
    "resnet50 act=silu": ("resnet50", {"act_layer": "silu"}),
    "resnet50 act=leaky_relu": ("resnet50", {"act_layer": "leaky_relu"}),
    "resnet50 act=gelu": ("resnet50", {"act_layer": "gelu"}),
    "resnet50 act=hardswish": ("resnet50", {"act_layer": "hard_swish"}),
    "resnet50 in_channels=1 classes=7": ("resnet50", {"in_chans": 1, "num_classes": 7}),
    "resnet50 output_stride=8 dilate=previous": ("resnet50", {"output_stride": 8}),
    "resnet50 output_stride=16 dilate=previous": ("resnet50", {"output_stride": 16}),
    "resnet18 output_stride=8 dilate=previous": ("resnet18", {"output_stride": 8}),
    "resnet34 output_stride=16 dilate=previous": ("resnet34", {"output_stride": 16}),
    "resnet50d output_stride=8 dilate=previous": ("resnet50d", {"output_stride": 8}),
    "resnet50d output_stride=16 dilate=previous": ("resnet50d", {"output_stride": 16}),
    "resnet18d output_stride=8 dilate=previous": ("resnet18d", {"output_stride": 8}),
    "resnetv2_50": ("resnetv2_50", {}),
}


def to_plusx(key):
    """timm's resnetv2 names in plusx's."""
    key = re.sub(r"^stages\.(\d+)\.blocks\.", lambda m: f"layer{int(m[1]) + 1}.", key)
    key = re.sub(r"^(layer\d+\.\d+)\.norm(\d)\.", r"\1.bn\2.", key)
    key = key.replace("downsample.conv.", "downsample.0.")
    return key.replace("stem.conv.", "conv1.").replace("head.fc.", "fc.")


@pytest.mark.parametrize("words", PEERS)
def test_keys_and_outputs_are_timms(words):
    name, options = PEERS[words]
    torch.manual_seed(0)
    theirs = enliven(timm.create_model(name, **options))
    state = theirs.state_dict()
    if name.startswith("resnetv2"):
        state = {
            to_plusx(key): value.reshape(value.shape[:2]) if key == "head.fc.weight" else value
            for key, value in state.items()
        }
    ours = plusx.build(words, state).eval()
    assert set(ours.state_dict()) == set(state)
    channels = ours.spec.in_channels
    for size in ((65, 97), (64, 96)):
        x, y = torch.randn(2, 2, channels, *size)
        with torch.inference_mode():
            wanted = theirs(x)
            assert_alive(wanted, theirs(y))
            error = relative(ours(x), wanted)
            print(f"{words} | timm {name} {options or ''} | {size} | {error:.1e}")
            assert error <= TOLERANCE
