"""The atrous identity (design decision 1): dilated(x)[..., ::s, ::s] == strided(x), and where other policies break it."""

from __future__ import annotations

import itertools

import pytest
import torch

import plusx
from living import assert_alive, enliven, relative
from plusx.errors import SpecError

EXACT = 1e-9  # float64
BASE = "depths=1,2,2,2 widths=8,12,16,24 stem_width=8 classes=0"
BLOCKS = {"basic": "block=basic", "bottleneck, stride in 3x3": "", "bottleneck, stride in 1x1": "stride_in=1x1"}
POLICIES = ("exact", "previous", "full", "mmdet", "contract", "grid", "grid_mmseg")


def error_of(words, policy, stride, size, seed=0):
    """Largest relative difference between the strided map and the dilated one at the strided positions."""
    torch.manual_seed(seed)
    strided = enliven(plusx.build(f"{BASE} {words}"), seed).double()
    grid = " multi_grid=1,2" if policy.startswith("grid") else ""
    dilated = plusx.build(f"{BASE} {words} output_stride={stride} dilate={policy}{grid}").double().eval()
    dilated.load_state_dict(strided.state_dict())
    step = 32 // stride
    x, y = torch.randn(2, 1, 3, size, size + 6, dtype=torch.float64)
    with torch.inference_mode():
        wanted = strided.forward_features(x)
        assert_alive(wanted, strided.forward_features(y))
        return relative(dilated.forward_features(x)[..., ::step, ::step], wanted)


VARIANTS = [
    " ".join(parts)
    for block, shortcut, gate in itertools.product(
        BLOCKS.values(),
        ("", "shortcut=D", "shortcut=A", "shortcut_kernel=3x3", "shortcut=none"),
        ("", "gate=se", "gate=eca", "gate=cbam"),
    )
    for parts in [[block, shortcut, gate]]
    if not (gate and "none" in shortcut)
]


@pytest.mark.parametrize("words", VARIANTS)
def test_exact_dilation_is_exact(words):
    for stride, size in ((16, 65), (8, 90)):
        assert error_of(words, "exact", stride, size) < EXACT


@pytest.mark.parametrize(
    "words",
    [
        "norm=none",
        "norm=frozen",
        "order=pre",
        "order=pre block=basic shortcut=D",
        "join=modulate gate=se",
        "stem_pool=caffe",
        "groups=4",
    ],
)
@pytest.mark.parametrize("size", [64, 75, 97])
def test_exact_dilation_with_other_keys_and_odd_sizes(words, size):
    assert error_of(words, "exact", 8, size) < EXACT


# which policies are exact on which block: reference finding 2, measured there on real implementations
COINCIDE = {
    "basic": {"exact", "previous"},
    "bottleneck, stride in 3x3": {"exact", "previous", "contract"},
    "bottleneck, stride in 1x1": {"exact", "full", "mmdet"},
}


@pytest.mark.parametrize("block", BLOCKS)
def test_other_policies_differ_where_they_should(block):
    for policy in POLICIES:
        try:
            error = error_of(BLOCKS[block], policy, 8, 97)
        except SpecError:
            assert (policy, block) == ("grid", "basic")
            continue
        assert (error < EXACT) == (policy in COINCIDE[block]), (policy, error)
        assert error < EXACT or error > 1e-3, (policy, error)


def test_group_norm_and_pooled_logits_cannot_be_exact():
    with pytest.raises(SpecError, match="is impossible with group norm"):
        plusx.spec("resnet50 norm=group output_stride=8")
    assert error_of("norm=group4", "previous", 8, 97) > 1e-3
