"""Who takes the new rate when a stage is dilated: design decision 1, and the systems that do otherwise.

Sources per policy: reference trap 2 and 4. previous: torchvision `_make_layer`, timm `make_blocks`; full: detectron2
`make_stage`, segmentation_models.pytorch `replace_strides_with_dilation`; mmdet: `ResLayer`; contract: mmseg `ResLayer`
with contract_dilation; grid: detectron2 projects/DeepLab; grid_mmseg: mmseg with multi_grid.
"""

from __future__ import annotations

from typing import NamedTuple

from plusx.specs import ResNetSpec, stage_geometry


class Rates(NamedTuple):
    """Rates of one block: of its 3x3 convolutions, of its shortcut's, and the step of its gate's cells."""

    branch: tuple[int, ...]
    shortcut: int
    gate: int


class StageGeometry(NamedTuple):
    """Stride of the first block, the rate before the stage and its own, and whether a stride was turned into a rate."""

    stride: int
    before: int
    after: int
    replaced: bool
    wide_shortcut: bool


def geometry_of_stages(spec: ResNetSpec) -> list[StageGeometry]:
    found: list[StageGeometry] = []
    before = 1
    for index, (stride, after) in enumerate(stage_geometry(spec)):
        wide = spec.shortcut_kernel == "3x3" and (spec.strides[index] != 1 or spec.dilations[index] > 1)
        found.append(StageGeometry(stride, before, after, after > before, wide))
        before = after
    return found


def rates(spec: ResNetSpec, stage: StageGeometry, block: int, *, last_stage: bool) -> Rates:
    """The rates of block number `block` of a stage."""
    before, after, first = stage.before, stage.after, block == 0
    basic = spec.block == "basic"
    policy = spec.dilate if not (spec.dilate.startswith("grid") and not last_stage) else "full"
    grid = spec.multi_grid[block] if policy.startswith("grid") and after > 1 else 1
    if policy in ("exact", "previous"):
        keeps = first and (policy == "previous" or basic or spec.stride_in == "3x3")
        lead, rest = (before if keeps else after), after
    elif policy == "full":
        lead = rest = after
    elif policy == "grid":
        lead = rest = after * grid
    else:  # the OpenMMLab systems, whose basic block never dilates its second convolution
        lead = {"mmdet": after, "contract": max(after // 2, 1) if first else after, "grid_mmseg": grid}[policy]
        rest = 1
    branch = (lead, rest) if basic else (lead,)
    return Rates(branch, before if policy == "exact" else lead, after if policy == "exact" else 1)
