"""Single blocks and stages of the language, for networks of one's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from plusx.errors import SpecError, unknown
from plusx.graph.blocks import EXPANSION, Place, make_block
from plusx.graph.rates import Rates, StageGeometry
from plusx.nn.blocks import BLOCKS
from plusx.nn.init import initialise_modules, zero_branch
from plusx.specs import ResNetSpec
from plusx.specs.keys import parse_value, whole

KINDS = ("basic", "bottleneck")
SPEC_KEYS = (
    "stride_in", "shortcut", "shortcut_kernel", "shortcut_align", "first_shortcut", "join", "gate", "gate_ratio", "order",
    "groups", "width_per_group", "norm", "act", "drop_path", "block_dropout", "zero_init",
)  # fmt: skip
OWN_KEYS = {
    "c_in": whole(1, 65_536),
    "c_out": whole(1, 262_144),
    "width": whole(1, 65_536),
    "stride": whole(1, 2),
    "dilation": whole(1, 64),
    "n": whole(1, 1000),
}


def block(words: str) -> nn.Module:
    """One residual block, (n, c_in, h, w) to (n, c_out, h/stride, w/stride), freshly initialised. Raises SpecError.

    First `basic` or `bottleneck`, then c_in, and c_out or width (a bottleneck's output is 4 · width); stride 1 or 2;
    dilation for all 3x3 convolutions; and the network's keys that concern a block: shortcut, join, gate, order, groups, norm, …

    >>> block("basic c_in=64 c_out=128 stride=2 join=modulate").conv2
    Conv2d(128, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """
    kind, own, keys = _read(words)
    if "n" in own:
        raise SpecError(f"n={own['n']} counts blocks, and a block is one; write plusx.stage for more")
    return _blocks("block", kind, own, keys)[0]


def stage(words: str) -> nn.Sequential:
    """`n` blocks one after another, the first with the stride; words as in `block`. Raises SpecError.

    >>> len(stage("bottleneck c_in=64 width=64 n=3"))
    3
    """
    kind, own, keys = _read(words)
    return nn.Sequential(*_blocks("stage", kind, {"n": 1, **own}, keys))


def _read(words: str) -> tuple[str, dict[str, int], dict[str, Any]]:
    kind, *rest = words.split() or [""]
    if kind not in KINDS:
        raise SpecError(f"{unknown('block', kind, KINDS)}; write it first, like basic c_in=64 c_out=128")
    own: dict[str, int] = {}
    keys: dict[str, Any] = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals:
            raise SpecError(f"{word!r} is no key=value word; write words like stride=2")
        if key in own or key in keys:
            raise SpecError(f"{key} is written twice; leave one out")
        if key in OWN_KEYS:
            own[key] = _number(key, value)
        elif key in SPEC_KEYS:
            keys[key] = parse_value(key, value)
        else:
            raise SpecError(unknown("key of a block", key, [*OWN_KEYS, *SPEC_KEYS]))
    return kind, own, keys


def _number(key: str, value: str) -> int:
    try:
        return OWN_KEYS[key](value)
    except ValueError as error:
        raise SpecError(f"{key}={value}; {key} is {error}") from None


def _width(kind: str, own: dict[str, int]) -> int:
    """The stage's entry of `widths` that c_out or width asks for."""
    if "c_in" not in own or not {"c_out", "width"} & set(own):
        raise SpecError("a block needs c_in, and c_out or width; write them, like c_in=64 c_out=128")
    times = EXPANSION if kind == "bottleneck" else 1
    width = own.get("width", own.get("c_out", 0) // times)
    if own.get("c_out", width * times) != width * times:
        wanted = f"a multiple of {times}" if "width" not in own else f"{width * times} for width={width}"
        raise SpecError(
            f"c_out={own['c_out']} of a {kind} is {times} times its inner width; write {wanted}, or leave it out"
        )
    return width


def _blocks(name: str, kind: str, own: dict[str, int], keys: dict[str, Any]) -> list[nn.Module]:
    width, stride, dilation, n = _width(kind, own), own.get("stride", 1), own.get("dilation", 1), own.get("n", 1)
    c_in = own["c_in"]
    base = ResNetSpec(
        depths=(n,), widths=(width,), strides=(stride,), dilations=(1,), block=kind, stem_width=c_in, classes=0
    )
    spec = base.replace(**keys)
    wide = spec.shortcut_kernel == "3x3" and (stride != 1 or dilation > 1)
    geometry = StageGeometry(stride, dilation, dilation, replaced=False, wide_shortcut=wide)
    made: list[nn.Module] = []
    for number in range(n):
        place = Place(
            name=f"{name}.{number}", c_in=c_in, width=width, stride=1 if number else stride,
            rates=Rates((dilation, dilation), dilation, 1), stage=geometry, first=number == 0, first_stage=True,
            drop_path=spec.drop_path,
        )  # fmt: skip
        module = BLOCKS[kind, spec.order](make_block(spec, place))
        module.to_empty(device=torch.get_default_device())
        initialise_modules(module)
        if spec.zero_init:
            zero_branch(module, spec)
        made.append(module)
        c_in = place.c_out(spec)
    return made
