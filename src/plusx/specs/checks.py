"""Combinations of keys that cannot be met: for each, what is wrong and what is possible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from plusx.i18n import Message, _
from plusx.specs.fields import SpecFields
from plusx.specs.language import show_value
from plusx.specs.strides import default_of, natural_output_stride, stage_geometry, stem_stride


def contradictions(spec: SpecFields) -> Iterator[Message]:
    """What contradicts itself in these fields, a message each."""
    yield from _lengths(spec)
    yield from _stem(spec)
    yield from _residual(spec)
    yield from _output_stride(spec)
    yield from _dilation(spec)
    yield from _padding(spec)
    yield from _cut(spec)


def _lengths(spec: SpecFields) -> Iterator[Message]:
    stages = len(spec.depths)
    for name in ("widths", "strides", "dilations"):
        values = getattr(spec, name)
        if len(values) != stages:
            yield _(
                "{key}={values} has {found} values for {stages} stages. Write {stages} values, or other depths.",
                key=name, values=show_value(values), found=len(values), stages=stages,
            )  # fmt: skip


def _stem(spec: SpecFields) -> Iterator[Message]:
    if spec.stem == "3x3" and spec.stem_pool == "caffe":
        yield _("stem_pool=caffe was never released with stem=3x3. Write stem_pool=none or stem_pool=max.")
    if spec.stem in ("deep", "deep2", "tiered") and spec.stem_width % 2:
        yield _(
            "stem_width={width} cannot be halved for stem={stem}. Write an even width.",
            width=spec.stem_width, stem=spec.stem,
        )  # fmt: skip
    if spec.stem == "tiered" and spec.stem_width < 8:
        yield _("stem_width={width} is too narrow for stem=tiered. Write 8 or more.", width=spec.stem_width)


def _residual(spec: SpecFields) -> Iterator[Message]:
    plain = spec.shortcut == "none"
    if plain and spec.join != "add":
        yield _("join={join} needs a shortcut, and shortcut=none has none. Write shortcut=B.", join=spec.join)
    if plain and spec.gate != "none":
        yield _(
            "gate={gate} weighs a branch before the join, and shortcut=none has no join. Write gate=none or shortcut=B.",
            gate=spec.gate,
        )
    if plain or spec.join == "mul":
        cause = "shortcut=none" if plain else "join=mul"
        if spec.drop_path:
            yield _(
                "drop_path={rate} would set the signal to zero with {cause}. Write drop_path=0 or {instead}.",
                rate=spec.drop_path, cause=cause, instead="shortcut=B" if plain else "join=add",
            )  # fmt: skip
        if spec.zero_init:
            yield _(
                "zero_init=yes would make the output zero for ever with {cause}. Write zero_init=no or {instead}.",
                cause=cause, instead="shortcut=B" if plain else "join=add",
            )  # fmt: skip
    if spec.zero_init and spec.norm == "frozen" and spec.order == "post":
        yield _(
            "zero_init=yes sets the last norm of a branch to zero, and norm=frozen cannot train it. "
            "Write zero_init=no or norm=batch."
        )


def _output_stride(spec: SpecFields) -> Iterator[Message]:
    target = spec.output_stride
    if target is None:
        return
    for name in ("strides", "dilations"):
        if getattr(spec, name) != default_of(name, spec):
            yield _(
                "output_stride={target} decides strides and dilations itself. Leave out {key}={values}.",
                target=target, key=name, values=show_value(getattr(spec, name)),
            )  # fmt: skip
    natural, stem = natural_output_stride(spec), stem_stride(spec)
    if target > natural or target < stem:
        allowed = [str(s) for s in (8, 16, 32) if stem <= s <= natural]
        yield _(
            "output_stride={target} cannot be reached: the network's own output stride is {natural}, and its stem's is {stem}. "
            "Allowed: {allowed}.",
            target=target, natural=natural, stem=stem, allowed=", ".join(["natural", *allowed]),
        )  # fmt: skip


def _dilation(spec: SpecFields) -> Iterator[Message]:
    dilations = [dilation for _stride, dilation in stage_geometry(spec)]
    if all(dilation == 1 for dilation in dilations):
        return
    if spec.dilate == "exact" and spec.norm.startswith("group"):
        yield _(
            "dilate=exact is impossible with group norm, whose statistics depend on every pixel. Write dilate=previous."
        )
    if spec.dilate == "exact" and any(after % before for before, after in pairwise([1, *dilations])):
        yield _(
            "dilate=exact replaces strides by dilations, so each of dilations={values} must be a multiple of the one before. "
            "Write other values, or dilate=previous.",
            values=show_value(spec.dilations),
        )
    if spec.shortcut == "D" and spec.dilate in ("full", "grid", "grid_mmseg"):
        yield _(
            "dilate={policy} comes from systems without shortcut=D. Allowed: exact, previous, mmdet, contract.",
            policy=spec.dilate,
        )
    if spec.dilate == "grid" and spec.block == "basic":
        yield _(
            "dilate=grid is detectron2's, which dilates no basic block. "
            "Allowed: exact, previous, full, mmdet, contract, grid_mmseg."
        )
    if spec.dilate.startswith("grid"):
        yield from _multi_grid(spec, dilations[-1])


def _multi_grid(spec: SpecFields, last: int) -> Iterator[Message]:
    if len(spec.multi_grid) != spec.depths[-1]:
        yield _(
            "multi_grid={values} has {found} dilations for {blocks} blocks. Write one for each block of the last stage.",
            values=show_value(spec.multi_grid), found=len(spec.multi_grid), blocks=spec.depths[-1],
        )  # fmt: skip
    if last == 1:
        yield _(
            "dilate={policy} multiplies the dilation of the last stage, which is 1 here. Dilate the last stage.",
            policy=spec.dilate,
        )


def _padding(spec: SpecFields) -> Iterator[Message]:
    if spec.padding == "same":
        return
    pairs = stage_geometry(spec)
    if spec.stem != "7x7":
        yield _(
            "padding=valid removes the padding of a 7x7 stem, and this one is {stem}. Write stem=7x7.", stem=spec.stem
        )
    strided = any(stride > 1 for stride, _dilation in pairs)
    if strided and spec.block == "bottleneck" and spec.stride_in == "1x1":
        yield _(
            "padding=valid concerns 3x3 convolutions with a stride, and stride_in=1x1 has none. Write stride_in=3x3."
        )
    if strided and not (spec.shortcut == "none" or (spec.shortcut in "BC" and spec.shortcut_kernel == "3x3")):
        yield _(
            "padding=valid makes the branch smaller than a 1x1 shortcut={shortcut}. Write shortcut=B shortcut_kernel=3x3.",
            shortcut=spec.shortcut,
        )
    if any(dilation > 1 for _stride, dilation in pairs) and spec.dilate == "exact":
        yield _(
            "dilate=exact is impossible with padding=valid, which shifts the grid. "
            "Write dilate=previous or dilate=contract, or padding=same."
        )
    if any(stride > 1 and dilation > 1 for stride, dilation in pairs):
        yield _(
            "padding=valid cannot stride and dilate in one stage, which pysot asserts too. "
            "Write strides=1 where dilations is above 1."
        )


def _cut(spec: SpecFields) -> Iterator[Message]:
    if spec.until is None:
        return
    if spec.classes != 0:
        yield _(
            "until={until} ends the network before fc, which classes={classes} asks for. Leave out one of them.",
            until=spec.until, classes=spec.classes,
        )  # fmt: skip
    found = re.fullmatch(r"layer(\d)(?:\.(\d+))?", spec.until)
    if not found:
        return
    stage, block = int(found[1]), int(found[2] or 0)
    if stage > len(spec.depths):
        yield _(
            "until={until} does not exist: the last stage is layer{last}. Write until=layer{last}.",
            until=spec.until, last=len(spec.depths),
        )  # fmt: skip
    elif block >= spec.depths[stage - 1]:
        yield _(
            "until={until} does not exist: layer{stage} has the blocks 0 to {last}. Write until=layer{stage}.{last}.",
            until=spec.until, stage=stage, last=spec.depths[stage - 1] - 1,
        )  # fmt: skip
