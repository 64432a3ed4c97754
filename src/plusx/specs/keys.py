"""The keys of the network language: how each value is parsed and explained. Fields and defaults stand in `fields`."""

from __future__ import annotations

import re

from plusx.i18n import _
from plusx.specs.aliases import ELSEWHERE, RENAMED, RESPELT
from plusx.specs.language import Key, Language, below_one, choice, numbers, whole, yes_no


def ratio(text: str) -> str:
    """A fraction `1/N`."""
    if not re.fullmatch(r"1/[1-9]\d{0,3}", text):
        raise ValueError(_("a fraction like 1/16"))
    return text


def norm(text: str) -> str:
    """`batch`, `frozen`, `none`, or `group` with a number of groups; `group` and `group32` are the same."""
    if text in ("batch", "frozen", "none", "group"):
        return text
    found = re.fullmatch(r"group([1-9]\d{0,3})", text)
    if not found:
        raise LookupError(("batch", "group", "group16", "frozen", "none"))
    return "group" if found[1] == "32" else text


def output_stride(text: str) -> int | None:
    """The output stride, None for the network's own."""
    if text not in ("natural", "8", "16", "32"):
        raise LookupError(("natural", "8", "16", "32"))
    return None if text == "natural" else int(text)


def until(text: str) -> str:
    """The name of the stem, a stage or a block."""
    if not re.fullmatch(r"stem|layer[1-6](\.\d{1,4})?", text):
        raise ValueError(_("stem, a stage like layer3, or a block like layer3.4"))
    return text


STRIDES_IN = ("3x3", "1x1")
STEMS = ("7x7", "deep", "deep2", "tiered", "3x3")
SHORTCUTS = ("B", "A", "C", "D", "none")
JOINS = ("add", "mul", "modulate", "attend")
GATES = {"none": False, "se": True, "eca": False, "cbam": True}
"""Each gate, and whether `gate_ratio` sets its squeezed width; `graph.kinds` says what they compute."""
POLICIES = ("exact", "previous", "full", "mmdet", "contract", "grid", "grid_mmseg")
ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu", "hardswish")
MAX_STAGES = 6


KEYS: dict[str, Key] = {
    "depths": Key(numbers(1, 10_000, MAX_STAGES), "3,4,6,3", _("blocks per stage, 1 to 6 stages")),
    "widths": Key(numbers(1, 65_536, MAX_STAGES), "64,128,256,512", _("inner width per stage")),
    "block": Key(choice("bottleneck", "basic"), "bottleneck, basic", _("three convolutions per block, or two")),
    "stride_in": Key(
        choice(*STRIDES_IN),
        "3x3, 1x1",
        _("the convolution with the stride in a bottleneck: v1.5 (torchvision) or v1 (paper)"),
    ),
    "stem": Key(
        choice(*STEMS), ", ".join(STEMS), _("the first convolutions; 3x3 has stride 1 and implies stem_pool=none")
    ),
    "stem_width": Key(whole(1, 65_536), "64", _("output width of the stem")),
    "stem_bias": Key(yes_no, "no, yes", _("biases in the convolutions of the stem (Caffe's ResNet-50)")),
    "stem_pool": Key(choice("max", "caffe", "none"), "max, caffe, none", _("caffe: padding 0, sizes rounded up")),
    "shortcut": Key(
        choice(*SHORTCUTS),
        ", ".join(SHORTCUTS),
        _(
            "B: projection where the shape changes; A: zero padding; C: projection in every block; D: average pool and projection; none: plain network"
        ),
    ),
    "shortcut_kernel": Key(
        choice("1x1", "3x3"), "1x1, 3x3", _("kernel of the projection; 3x3 where a stage strides or dilates (trackers)")
    ),
    "shortcut_align": Key(
        choice("front", "centre"),
        "front, centre",
        _("where shortcut=A keeps the old channels: first, or in the middle (akamaster/pytorch_resnet_cifar10)"),
    ),
    "first_shortcut": Key(
        choice("auto", "project"),
        "auto, project",
        _("project: a projection in stage 1 although the shapes agree (Paddle)"),
    ),
    "join": Key(choice(*JOINS), ", ".join(JOINS), _("F+x; F*x; x*2sigmoid(F); x*(1+sigmoid(F))")),
    "gate": Key(choice(*GATES), ", ".join(GATES), _("attention on the branch, before the join")),
    "gate_ratio": Key(ratio, "1/16", _("squeezed width of a gate divided by its input width")),
    "order": Key(
        choice("post", "pre"), "post, pre", _("ResNet v1, or v2: norm and activation before each convolution")
    ),
    "groups": Key(whole(1, 4096), "1", _("groups of the 3x3 convolutions (ResNeXt)")),
    "width_per_group": Key(
        whole(1, 4096), "64", _("width of a group for 64 inner channels (ResNeXt, wide and thin networks)")
    ),
    "strides": Key(numbers(1, 2, MAX_STAGES), "1,2,2,2", _("stride per stage, 1 or 2")),
    "dilations": Key(numbers(1, 64, MAX_STAGES), "1,1,1,1", _("dilation per stage")),
    "output_stride": Key(
        output_stride, "natural, 8, 16, 32", _("dilate instead of striding beyond this stride"), "natural"
    ),
    "dilate": Key(choice(*POLICIES), ", ".join(POLICIES), _("which convolutions take a new dilation")),
    "multi_grid": Key(
        numbers(1, 64, 10_000),
        "1,2,4",
        _("dilation factors of the blocks of the last stage, for dilate=grid and grid_mmseg"),
        unwritten=((),),
    ),
    "padding": Key(
        choice("same", "valid"),
        "same, valid",
        _("valid: no padding in the 7x7 stem and in 3x3 convolutions of stride 2 (trackers)"),
    ),
    "norm": Key(
        norm, "batch, group[N], frozen, none", _("none: convolutions have biases (networks with folded batch norm)")
    ),
    "act": Key(choice(*ACTIVATIONS), ", ".join(ACTIVATIONS), _("activation")),
    "drop_path": Key(
        below_one(), "0", _("stochastic depth: the rate of the last block; it rises linearly from 0 at the first")
    ),
    "block_dropout": Key(below_one(), "0", _("dropout before the last convolution of each branch (wide ResNets)")),
    "head_dropout": Key(below_one(), "0", _("dropout before fc")),
    "zero_init": Key(yes_no, "no, yes", _("initialise each branch to zero")),
    "in_channels": Key(whole(1, 65_536), "3", _("channels of the input")),
    "classes": Key(whole(0, 1_000_000), "1000", _("outputs of fc; 0: pooled features (n, c)")),
    "until": Key(
        until,
        "stem, layer3, layer3.4",
        _("the last part of the network, inclusive; returns its map (n, c, h, w)"),
        unwritten=(None,),
    ),
}

SPEC = Language(_("key"), KEYS, "stem=deep", RENAMED, ELSEWHERE, RESPELT)
"""The language of networks."""
