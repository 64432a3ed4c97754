"""Factory: single blocks and stages from words, for networks that are written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from plusx.errors import SpecError, unknown
from plusx.graph.blocks import EXPANSION, BlockConfig, make_block
from plusx.graph.dilations import BlockDilations, StageGeometry
from plusx.i18n import _
from plusx.nn.blocks import BLOCKS
from plusx.nn.init import initialise_modules, zero_branch
from plusx.specs import KEYS, ResNetSpec
from plusx.specs.aliases import RENAMED, RESPELT
from plusx.specs.language import Key, Language, whole

KINDS = ("basic", "bottleneck")
SPEC_KEYS = (
    "stride_in", "shortcut", "shortcut_kernel", "shortcut_align", "first_shortcut", "join", "gate", "gate_ratio", "order",
    "groups", "width_per_group", "norm", "act", "drop_path", "block_dropout", "zero_init",
)  # fmt: skip
OWN_KEYS = {
    "c_in": Key(whole(1, 65_536), "64", _("channels of the input")),
    "c_out": Key(whole(1, 262_144), "256", _("channels of the output")),
    "width": Key(whole(1, 65_536), "64", _("inner width; the output of a bottleneck is four times as wide")),
    "stride": Key(whole(1, 2), "1, 2", _("stride of the first block")),
    "dilation": Key(whole(1, 64), "1", _("dilation of all 3x3 convolutions")),
    "n": Key(whole(1, 1000), "1", _("number of blocks in a stage")),
}
RENAMED_HERE = {
    **dict.fromkeys(("in_channels", "in_planes", "inplanes", "in_chs"), "c_in"),
    **dict.fromkeys(("out_channels", "out_planes", "out_chs"), "c_out"),
    **dict.fromkeys(("planes", "widths"), "width"),
    **dict.fromkeys(("depth", "depths", "blocks"), "n"),
    "strides": "stride",
    "dilations": "dilation",
}
BLOCK = Language(
    _("key of a block"), {**OWN_KEYS, **{key: KEYS[key] for key in SPEC_KEYS}}, "stride=2",
    {**{word: key for word, key in RENAMED.items() if key in SPEC_KEYS}, **RENAMED_HERE}, respelt=RESPELT,
)  # fmt: skip
"""The language of single blocks and stages."""


def block(words: str) -> nn.Module:
    """One residual block, (n, c_in, h, w) to (n, c_out, h/stride, w/stride), freshly initialised. Raises SpecError.

    The first word is `basic` or `bottleneck`. The others are c_in; c_out or width (the output of a bottleneck has 4 · width
    channels); stride, 1 or 2; dilation, of all 3x3 convolutions; and the keys of a network that concern a block: shortcut,
    join, gate, order, groups, norm, …

    >>> block("basic c_in=64 c_out=128 stride=2 join=modulate").conv2
    Conv2d(128, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """
    kind, own, keys = _read(words)
    if "n" in own:
        raise SpecError(
            _("n={n} is a number of blocks, and plusx.block makes a single one. Use plusx.stage instead.", n=own["n"])
        )
    return _blocks("block", kind, own, keys)[0]


def stage(words: str) -> nn.Sequential:
    """`n` blocks in sequence, of which the first has the stride; the words are those of `block`. Raises SpecError.

    >>> len(stage("bottleneck c_in=64 width=64 n=3"))
    3
    """
    kind, own, keys = _read(words)
    return nn.Sequential(*_blocks("stage", kind, {"n": 1, **own}, keys))


def _read(words: str) -> tuple[str, dict[str, int], dict[str, Any]]:
    kind, *rest = words.split() or [""]
    if kind not in KINDS:
        reason = unknown(_("kind of block"), kind, KINDS)
        raise SpecError(_("{reason} It is the first word, as in basic c_in=64 c_out=128.", reason=reason))
    values = BLOCK.read(rest)
    own = {key: value for key, value in values.items() if key in OWN_KEYS}
    return kind, own, {key: value for key, value in values.items() if key not in OWN_KEYS}


def _width(kind: str, own: dict[str, int]) -> int:
    """The inner width that c_out or width asks for."""
    if "c_in" not in own or not {"c_out", "width"} & set(own):
        raise SpecError(_("A block needs c_in, and c_out or width. Write them like c_in=64 c_out=128."))
    times = EXPANSION if kind == "bottleneck" else 1
    width = own.get("width", own.get("c_out", 0) // times)
    if own.get("c_out", width * times) != width * times:
        raise SpecError(
            _("c_out={c_out} contradicts width={width}: the output of a {kind} has {right} channels. Leave out one of them.",
              c_out=own["c_out"], width=width, kind=kind, right=width * times)
            if "width" in own
            else _("c_out={c_out} is not a multiple of {times}, and the output of a {kind} is. Write {low} or {high}.",
                   c_out=own["c_out"], times=times, kind=kind, low=max(width, 1) * times, high=(width + 1) * times)
        )  # fmt: skip
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
        config = BlockConfig(
            name=f"{name}.{number}", c_in=c_in, width=width, stride=1 if number else stride,
            dilations=BlockDilations((dilation, dilation), dilation, 1), stage=geometry, first=number == 0, first_stage=True,
            drop_path=spec.drop_path,
        )  # fmt: skip
        module = BLOCKS[kind, spec.order](make_block(spec, config))
        module.to_empty(device=torch.get_default_device())
        initialise_modules(module)
        if spec.zero_init:
            zero_branch(module, spec)
        made.append(module)
        c_in = config.c_out(spec)
    return made
