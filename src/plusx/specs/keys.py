"""The keys of the language: how each value is read, printed and explained. Fields and defaults stand in `model`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from plusx.errors import SpecError, unknown


class Key(NamedTuple):
    """One key: `parse` turns a word into a value and raises ValueError with the rule; `allowed` is for people."""

    parse: Callable[[str], Any]
    allowed: str
    meaning: str


def choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise LookupError(words)
        return text

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,7}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def numbers(low: int, high: int, most: int) -> Callable[[str], tuple[int, ...]]:
    def parse(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        if len(parts) > most or not all(re.fullmatch(r"\d{1,6}", p) and low <= int(p) <= high for p in parts):
            raise ValueError(f"1 to {most} whole numbers from {low} to {high}, like 1,2,2,2")
        return tuple(int(p) for p in parts)

    return parse


def yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise LookupError(("yes", "no"))
    return text == "yes"


def rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise ValueError("a number from 0 to below 1")
    return value


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
GATES = ("none", "se", "eca", "cbam")
POLICIES = ("exact", "previous", "full", "mmdet", "contract", "grid", "grid_mmseg")
ACTIVATIONS = ("relu", "leaky_relu", "silu", "gelu", "hardswish")
MOST_STAGES = 6


KEYS: dict[str, Key] = {
    "depths": Key(numbers(1, 10_000, MOST_STAGES), "3,4,6,3", "blocks per stage, 1 to 6 stages"),
    "widths": Key(numbers(1, 65_536, MOST_STAGES), "64,128,256,512", "inner width per stage"),
    "block": Key(choice("bottleneck", "basic"), "bottleneck, basic", "three convolutions a block, or two"),
    "stride_in": Key(
        choice(*STRIDES_IN), "3x3, 1x1", "where a bottleneck downsamples: v1.5 (torchvision) or v1 (paper)"
    ),
    "stem": Key(
        choice(*STEMS), ", ".join(STEMS), "the first convolutions; 3x3 has stride 1 and implies stem_pool=none"
    ),
    "stem_width": Key(whole(1, 65_536), "64", "output width of the stem"),
    "stem_bias": Key(yes_no, "no, yes", "biases in the stem's convolutions (Caffe's ResNet-50)"),
    "stem_pool": Key(choice("max", "caffe", "none"), "max, caffe, none", "caffe: padding 0, sizes rounded up"),
    "shortcut": Key(choice(*SHORTCUTS), ", ".join(SHORTCUTS), "projection on change; zero-pad; always; pooled; plain"),
    "shortcut_kernel": Key(choice("1x1", "3x3"), "1x1, 3x3", "3x3: the trackers', where a stage strides or dilates"),
    "shortcut_align": Key(choice("front", "centre"), "front, centre", "option A of the paper, or of akamaster"),
    "first_shortcut": Key(
        choice("auto", "project"), "auto, project", "project in stage 1 although shapes agree (Paddle)"
    ),
    "join": Key(choice(*JOINS), ", ".join(JOINS), "F+x; F*x; x*2sigmoid(F); x*(1+sigmoid(F))"),
    "gate": Key(choice(*GATES), ", ".join(GATES), "attention on the branch, before the join"),
    "gate_ratio": Key(ratio, "1/16", "squeezed width of a gate over its input width"),
    "order": Key(choice("post", "pre"), "post, pre", "ResNet v1, or v2: norm and activation before each convolution"),
    "groups": Key(whole(1, 4096), "1", "groups of the 3x3 convolutions (ResNeXt)"),
    "width_per_group": Key(whole(1, 4096), "64", "width of one group for 64 inner channels (ResNeXt, wide, thin)"),
    "strides": Key(numbers(1, 2, MOST_STAGES), "1,2,2,2", "per stage, 1 or 2"),
    "dilations": Key(numbers(1, 64, MOST_STAGES), "1,1,1,1", "rate per stage"),
    "output_stride": Key(output_stride, "natural, 8, 16, 32", "dilate where the stride would go beyond it"),
    "dilate": Key(choice(*POLICIES), ", ".join(POLICIES), "which convolutions take a new rate"),
    "multi_grid": Key(numbers(1, 64, 10_000), "1,2,4", "rates of the last stage's blocks, for dilate=grid, grid_mmseg"),
    "crop": Key(yes_no, "no, yes", "the trackers' padding: 7x7 stem and stride-2 3x3 without any"),
    "norm": Key(norm, "batch, group[N], frozen, none", "none: convolutions have biases (BN-folded nets)"),
    "act": Key(choice(*ACTIVATIONS), ", ".join(ACTIVATIONS), "activation"),
    "drop_path": Key(rate, "0", "stochastic depth of the last block; linear from 0 at the first"),
    "block_dropout": Key(rate, "0", "dropout before the last convolution of each branch (wide ResNets)"),
    "head_dropout": Key(rate, "0", "dropout before fc"),
    "zero_init": Key(yes_no, "no, yes", "each branch starts at zero"),
    "in_channels": Key(whole(1, 65_536), "3", "channels of the input"),
    "classes": Key(whole(0, 1_000_000), "1000", "outputs of fc; 0: pooled features (n, c)"),
    "until": Key(until, "stem, layer3, layer3.4", "cut after this, inclusive; returns the map (n, c, h, w)"),
}


def parse_value(key: str, text: str) -> Any:
    """The value of one `key=text` word. Raises SpecError with the nearest and the allowed values."""
    if key not in KEYS:
        raise SpecError(unknown("key", key, KEYS))
    try:
        return KEYS[key].parse(text)
    except LookupError as error:
        raise SpecError(unknown(key, text, error.args[0])) from None
    except ValueError as error:
        raise SpecError(f"{key}={text}; {key} is {error}") from None


def show_value(value: Any) -> str:
    """How a value is written in the language.

    >>> show_value((3, 4, 6, 3)), show_value(True), show_value(None)
    ('3,4,6,3', 'yes', 'natural')
    """
    if value is None:
        return "natural"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(str(number) for number in cast("tuple[object, ...]", value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
