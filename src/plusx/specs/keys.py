"""The keys of the language: how each value is read, printed and explained. Fields and defaults stand in `model`."""

from __future__ import annotations

import re

from plusx.i18n import _
from plusx.specs.aliases import ELSEWHERE, RENAMED, RESPELT
from plusx.specs.language import Key, Language, below_one, choice, numbers, whole, yes_no


def ratio(text: str) -> str:
    if not re.fullmatch(r"1/[1-9]\d{0,3}", text):
        raise ValueError("a fraction like 1/16")
    return text


def norm(text: str) -> str:
    """batch, frozen, none, or group with a number of groups: `group` and `group32` are the same."""
    if text in ("batch", "frozen", "none", "group"):
        return text
    found = re.fullmatch(r"group([1-9]\d{0,3})", text)
    if not found:
        raise LookupError(("batch", "group", "group16", "frozen", "none"))
    return "group" if found[1] == "32" else text


def output_stride(text: str) -> int | None:
    if text not in ("natural", "8", "16", "32"):
        raise LookupError(("natural", "8", "16", "32"))
    return None if text == "natural" else int(text)


def until(text: str) -> str:
    if not re.fullmatch(r"stem|layer[1-6](\.\d{1,4})?", text):
        raise ValueError("stem, a stage like layer3, or a block like layer3.4")
    return text


STRIDES_IN = ("3x3", "1x1")
STEMS = ("7x7", "deep", "deep2", "tiered", "3x3")
SHORTCUTS = ("B", "A", "C", "D", "none")
JOINS = ("add", "mul", "modulate", "attend")
GATES = {"none": False, "se": True, "eca": False, "cbam": True}
"""Each with whether it squeezes its channels by `gate_ratio`; `graph.kinds` says what they compute."""
POLICIES = ("exact", "previous", "full", "mmdet", "contract", "grid", "grid_mmseg")
ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu", "hardswish")
MOST_STAGES = 6


KEYS: dict[str, Key] = {
    "depths": Key(numbers(1, 10_000, MOST_STAGES), "3,4,6,3", _("blocks per stage, 1 to 6 stages")),
    "widths": Key(numbers(1, 65_536, MOST_STAGES), "64,128,256,512", _("inner width per stage")),
    "block": Key(choice("bottleneck", "basic"), "bottleneck, basic", _("three convolutions a block, or two")),
    "stride_in": Key(
        choice(*STRIDES_IN), "3x3, 1x1", _("where a bottleneck downsamples: v1.5 (torchvision) or v1 (paper)")
    ),
    "stem": Key(
        choice(*STEMS), ", ".join(STEMS), _("the first convolutions; 3x3 has stride 1 and implies stem_pool=none")
    ),
    "stem_width": Key(whole(1, 65_536), "64", _("output width of the stem")),
    "stem_bias": Key(yes_no, "no, yes", _("biases in the stem's convolutions (Caffe's ResNet-50)")),
    "stem_pool": Key(choice("max", "caffe", "none"), "max, caffe, none", _("caffe: padding 0, sizes rounded up")),
    "shortcut": Key(
        choice(*SHORTCUTS), ", ".join(SHORTCUTS), _("projection on change; zero-pad; always; pooled; plain")
    ),
    "shortcut_kernel": Key(choice("1x1", "3x3"), "1x1, 3x3", _("3x3: the trackers', where a stage strides or dilates")),
    "shortcut_align": Key(choice("front", "centre"), "front, centre", _("option A of the paper, or of akamaster")),
    "first_shortcut": Key(
        choice("auto", "project"), "auto, project", _("project in stage 1 although shapes agree (Paddle)")
    ),
    "join": Key(choice(*JOINS), ", ".join(JOINS), _("F+x; F*x; x*2sigmoid(F); x*(1+sigmoid(F))")),
    "gate": Key(choice(*GATES), ", ".join(GATES), _("attention on the branch, before the join")),
    "gate_ratio": Key(ratio, "1/16", _("squeezed width of a gate over its input width")),
    "order": Key(
        choice("post", "pre"), "post, pre", _("ResNet v1, or v2: norm and activation before each convolution")
    ),
    "groups": Key(whole(1, 4096), "1", _("groups of the 3x3 convolutions (ResNeXt)")),
    "width_per_group": Key(whole(1, 4096), "64", _("width of one group for 64 inner channels (ResNeXt, wide, thin)")),
    "strides": Key(numbers(1, 2, MOST_STAGES), "1,2,2,2", _("per stage, 1 or 2")),
    "dilations": Key(numbers(1, 64, MOST_STAGES), "1,1,1,1", _("rate per stage")),
    "output_stride": Key(
        output_stride, "natural, 8, 16, 32", _("dilate where the stride would go beyond it"), "natural"
    ),
    "dilate": Key(choice(*POLICIES), ", ".join(POLICIES), _("which convolutions take a new rate")),
    "multi_grid": Key(
        numbers(1, 64, 10_000),
        "1,2,4",
        _("rates of the last stage's blocks, for dilate=grid, grid_mmseg"),
        unwritten=((),),
    ),
    "padding": Key(
        choice("same", "valid"), "same, valid", _("valid: the trackers', 7x7 stem and stride-2 3x3 without any")
    ),
    "norm": Key(norm, "batch, group[N], frozen, none", _("none: convolutions have biases (BN-folded nets)")),
    "act": Key(choice(*ACTIVATIONS), ", ".join(ACTIVATIONS), _("activation")),
    "drop_path": Key(below_one(), "0", _("stochastic depth of the last block; linear from 0 at the first")),
    "block_dropout": Key(below_one(), "0", _("dropout before the last convolution of each branch (wide ResNets)")),
    "head_dropout": Key(below_one(), "0", _("dropout before fc")),
    "zero_init": Key(yes_no, "no, yes", _("each branch starts at zero")),
    "in_channels": Key(whole(1, 65_536), "3", _("channels of the input")),
    "classes": Key(whole(0, 1_000_000), "1000", _("outputs of fc; 0: pooled features (n, c)")),
    "until": Key(
        until, "stem, layer3, layer3.4", _("cut after this, inclusive; returns the map (n, c, h, w)"), unwritten=(None,)
    ),
}

SPEC = Language("key", KEYS, "stem=deep", RENAMED, ELSEWHERE, RESPELT)
"""The language of networks."""
