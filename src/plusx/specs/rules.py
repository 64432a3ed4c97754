"""From written keys to a concrete spec: base < implied < written, then what cannot be is refused.

Every rule here is about keys alone. Rules that need channel arithmetic (divisibility) stand in graph/, which owns it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from plusx.errors import SpecError
from plusx.specs.keys import GATES
from plusx.specs.language import show_value
from plusx.specs.model import ResNetSpec

DEFAULTS: dict[str, Any] = {name: getattr(ResNetSpec(), name) for name in ResNetSpec.__slots__}


def resolve(base: ResNetSpec, written: Mapping[str, Any]) -> ResNetSpec:
    """The spec that `written` asks for on top of `base`. Raises SpecError."""
    values = {name: getattr(base, name) for name in DEFAULTS}
    values.update(implied(base, written))
    values.update(written)
    draft = ResNetSpec(**values)
    for reason in contradictions(draft, written):
        raise SpecError(reason)
    if draft.output_stride == natural_output_stride(draft):
        draft = replace(draft, output_stride=None)
    defaults: dict[str, Any] = {}
    for name, reason in unread(draft):
        defaults[name] = default = default_of(name, draft)
        if name in written and written[name] != default:
            raise SpecError(f"{name}={show_value(written[name])} would change nothing here: {reason}; leave it out")
    return replace(draft, **defaults)


def implied(base: ResNetSpec, written: Mapping[str, Any]) -> dict[str, Any]:
    """Values that follow from written ones, before the written ones themselves are laid over them."""
    follows: dict[str, Any] = {}
    stages = len(written.get("depths", base.depths))
    if stages != len(base.depths):
        first = written.get("widths", base.widths)[0]
        follows["widths"] = tuple(first * 2**i for i in range(stages))
        follows["strides"] = natural_strides(stages)
        follows["dilations"] = (1,) * stages
    if "stem" in written and (written["stem"] == "3x3") != (base.stem == "3x3"):
        follows["stem_pool"] = "none" if written["stem"] == "3x3" else "max"
    if written.get("until"):
        follows["classes"] = 0
    if str(written.get("dilate", "")).startswith("grid") and not base.multi_grid:
        follows["multi_grid"] = (1, 2, 4)  # detectron2's DeepLab configs
    return follows


def natural_strides(stages: int) -> tuple[int, ...]:
    return (1,) + (2,) * (stages - 1)


def default_of(name: str, spec: ResNetSpec) -> Any:
    """The default of a field; three of them depend on the number of stages."""
    stages = len(spec.depths)
    if name == "strides":
        return natural_strides(stages)
    return (1,) * stages if name == "dilations" else DEFAULTS[name]


def stem_stride(spec: ResNetSpec) -> int:
    return (1 if spec.stem == "3x3" else 2) * (1 if spec.stem_pool == "none" else 2)


def stage_geometry(spec: ResNetSpec) -> list[tuple[int, int]]:
    """(stride, dilation) of each stage after `output_stride` has turned strides into rates (timm's and torchvision's rule)."""
    pairs: list[tuple[int, int]] = []
    reached, rate = stem_stride(spec), 1
    if spec.output_stride is None:
        return list(zip(spec.strides, spec.dilations, strict=True))
    for stride in spec.strides:
        if reached >= spec.output_stride:
            rate, stride = rate * stride, 1
        reached *= stride
        pairs.append((stride, rate))
    return pairs


def natural_output_stride(spec: ResNetSpec) -> int:
    stride = stem_stride(spec)
    for factor in spec.strides:
        stride *= factor
    return stride


def projects_by_itself(spec: ResNetSpec) -> bool:
    """Whether stage 1 changes shape, so that its first block projects anyway."""
    out = spec.widths[0] * (4 if spec.block == "bottleneck" else 1)
    return spec.strides[0] != 1 or out != spec.stem_width


def unread(spec: ResNetSpec) -> Iterator[tuple[str, str]]:
    """The fields that nothing would read for this network, with the reason."""
    basic = spec.block == "basic"
    if basic:
        yield "stride_in", "a basic block has one place for its stride"
        yield "width_per_group", "a basic block has no inner width of its own; write widths"
    if spec.shortcut not in ("B", "C"):
        yield "shortcut_kernel", f"shortcut={spec.shortcut} has no projection of its own size"
    if spec.shortcut != "A":
        yield "shortcut_align", "only shortcut=A fills channels with zeros"
    if spec.shortcut not in ("B", "D"):
        yield "first_shortcut", f"shortcut={spec.shortcut} leaves no choice in stage 1"
    elif projects_by_itself(spec):
        yield "first_shortcut", "stage 1 changes shape and projects anyway"
    if not GATES[spec.gate]:
        yield "gate_ratio", f"gate={spec.gate} squeezes nothing"
    if spec.norm == "none":
        yield "stem_bias", "with norm=none every convolution has a bias"
    dilated = any(rate > 1 for _, rate in stage_geometry(spec))
    if not dilated:
        yield "dilate", "no stage is dilated; write output_stride or dilations"
    if not spec.dilate.startswith("grid") or not dilated:
        yield "multi_grid", f"dilate={spec.dilate} has one rate a stage; write dilate=grid or grid_mmseg"
    if spec.until is not None or spec.classes == 0:
        yield "head_dropout", "there is no fc"


def contradictions(spec: ResNetSpec, written: Mapping[str, Any]) -> Iterator[str]:
    """Wishes that cannot be met: why, and what is possible."""
    yield from _lengths(spec, written)
    yield from _residual(spec)
    yield from _dilation(spec, written)
    yield from _padding(spec)
    yield from _cut(spec, written)


def _lengths(spec: ResNetSpec, written: Mapping[str, Any]) -> Iterator[str]:
    stages = len(spec.depths)
    for name in ("widths", "strides", "dilations"):
        values = getattr(spec, name)
        if len(values) != stages:
            yield f"{name}={show_value(values)} has {len(values)} values for {stages} stages; write {stages} or other depths"
    if spec.stem == "3x3" and spec.stem_pool == "caffe":
        yield "stem_pool=caffe after a 3x3 stem was never released; allowed there: none, max"
    if spec.stem in ("deep", "deep2", "tiered") and spec.stem_width % 2:
        yield f"stem_width={spec.stem_width} cannot be halved for stem={spec.stem}; write an even width"
    if spec.stem == "tiered" and spec.stem_width < 8:
        yield f"stem_width={spec.stem_width} is too narrow for stem=tiered; allowed: 8 or more"


def _residual(spec: ResNetSpec) -> Iterator[str]:
    plain = spec.shortcut == "none"
    if plain and spec.join != "add":
        yield f"join={spec.join} joins a branch with its shortcut, and shortcut=none has none; write shortcut=B"
    if plain and spec.gate != "none":
        yield f"gate={spec.gate} weighs a branch before the join, and shortcut=none has no join; write gate=none or shortcut=B"
    if spec.drop_path and (plain or spec.join == "mul"):
        what = "shortcut=none" if plain else "join=mul"
        yield f"drop_path={spec.drop_path} would end the signal with {what}; write drop_path=0 or join=add"
    if spec.zero_init and (plain or spec.join == "mul"):
        what = "shortcut=none" if plain else "join=mul"
        yield f"zero_init=yes would make the output zero for ever with {what}; write zero_init=no or join=add"
    if spec.zero_init and spec.norm == "frozen" and spec.order == "post":
        yield "zero_init=yes zeroes the last norm, and norm=frozen never learns it back; write zero_init=no or norm=batch"


def _dilation(spec: ResNetSpec, written: Mapping[str, Any]) -> Iterator[str]:
    target = spec.output_stride
    if target is not None:
        for name in ("strides", "dilations"):
            if getattr(spec, name) != default_of(name, spec):
                yield f"output_stride={target} chooses strides and rates itself; leave out {name}={show_value(getattr(spec, name))}"
        natural, stem = natural_output_stride(spec), stem_stride(spec)
        if target > natural or target < stem:
            allowed = [str(s) for s in (8, 16, 32) if stem <= s <= natural]
            why = f"this network's own is {natural} and its stem's {stem}"
            yield f"output_stride={target} cannot be reached: {why}; allowed: {', '.join(['natural', *allowed])}"
    dilated = any(rate > 1 for _, rate in stage_geometry(spec))
    if not dilated:
        return
    if spec.dilate == "exact" and spec.norm.startswith("group"):
        yield "dilate=exact cannot hold with group norm (its mean sees other pixels); write dilate=previous"
    rates = [1, *(rate for _, rate in stage_geometry(spec))]
    if spec.dilate == "exact" and any(after % before for before, after in pairwise(rates)):
        yield f"dilate=exact turns strides into rates, so each of {show_value(spec.dilations)} must be a multiple of the one before; write dilate=previous"
    if spec.shortcut == "D" and spec.dilate in ("full", "grid", "grid_mmseg"):
        yield f"dilate={spec.dilate} comes from systems without shortcut=D; allowed: exact, previous, mmdet, contract"
    if spec.dilate == "grid" and spec.block == "basic":
        yield "dilate=grid is detectron2's, which dilates no basic block; allowed: exact, previous, full, mmdet, contract, grid_mmseg"
    if spec.dilate.startswith("grid") and len(spec.multi_grid) != spec.depths[-1]:
        yield f"multi_grid={show_value(spec.multi_grid)} has {len(spec.multi_grid)} rates for {spec.depths[-1]} blocks; write one a block of the last stage"
    if spec.dilate.startswith("grid") and stage_geometry(spec)[-1][1] == 1:
        yield f"dilate={spec.dilate} multiplies the last stage's rate, which is 1 here; dilate the last stage"


def _padding(spec: ResNetSpec) -> Iterator[str]:
    if spec.padding == "same":
        return
    pairs = stage_geometry(spec)
    if spec.stem != "7x7":
        yield f"padding=valid leaves out the padding of a 7x7 stem, which stem={spec.stem} does not have. Write stem=7x7."
    strided = any(stride > 1 for stride, _ in pairs)
    if strided and spec.block == "bottleneck" and spec.stride_in == "1x1":
        yield "padding=valid concerns the 3x3 convolutions that stride, and stride_in=1x1 strides elsewhere. Write stride_in=3x3."
    if strided and not (spec.shortcut == "none" or (spec.shortcut in "BC" and spec.shortcut_kernel == "3x3")):
        yield f"padding=valid makes the branch smaller than a shortcut={spec.shortcut} of 1x1. Write shortcut=B shortcut_kernel=3x3."
    if any(rate > 1 for _, rate in pairs) and spec.dilate == "exact":
        yield "dilate=exact cannot hold with padding=valid, which shifts the grid. Write dilate=previous or contract, or padding=same."
    if any(stride > 1 and rate > 1 for stride, rate in pairs):
        yield "padding=valid cannot stride and dilate in one stage (the trackers assert it). Write strides=1 where dilations is above 1."


def _cut(spec: ResNetSpec, written: Mapping[str, Any]) -> Iterator[str]:
    if spec.until is None:
        return
    if spec.classes != 0:
        yield f"until={spec.until} ends before fc, so classes={spec.classes} cannot be; leave out one of them"
    found = re.fullmatch(r"layer(\d)(?:\.(\d+))?", spec.until)
    if not found:
        return
    stage, block = int(found[1]), int(found[2] or 0)
    if stage > len(spec.depths):
        yield f"until={spec.until}: this network ends with layer{len(spec.depths)}; the nearest is layer{len(spec.depths)}"
    elif block >= spec.depths[stage - 1]:
        last = spec.depths[stage - 1] - 1
        yield f"until={spec.until}: layer{stage} has blocks 0 to {last}; the nearest is layer{stage}.{last}"
