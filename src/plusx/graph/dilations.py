"""Which convolutions of a dilated stage take its dilation, by the policy that `dilate` names.

exact is plusx's own: the maps of the dilated network agree with those of the strided network wherever both have cells. The
other policies reproduce released systems. previous: torchvision models/resnet.py `_make_layer`, timm models/resnet.py
`make_blocks`. full: detectron2 modeling/backbone/resnet.py `make_stage`, segmentation_models.pytorch encoders/_utils.py
`replace_strides_with_dilation`. mmdet: mmdet models/layers/res_layer.py `ResLayer`. contract: mmseg models/utils/res_layer.py
`ResLayer` with contract_dilation. grid: detectron2 projects/DeepLab resnet.py. grid_mmseg: mmseg `ResLayer` with multi_grid.
"""

from __future__ import annotations

from typing import NamedTuple

from plusx.specs import ResNetSpec, stage_geometry


class BlockDilations(NamedTuple):
    """The dilations of one block: of its 3x3 convolutions, of a 3x3 shortcut, and the step between the cells that its gate reads."""

    branch: tuple[int, ...]
    shortcut: int
    gate: int


class StageGeometry(NamedTuple):
    """The stride of the first block, the dilation before the stage and its own, and whether a dilation replaced a stride.

    `wide_shortcut`: the first block has a 3x3 projection.
    """

    stride: int
    before: int
    after: int
    replaced: bool
    wide_shortcut: bool


def geometry_of_stages(spec: ResNetSpec) -> list[StageGeometry]:
    """The geometry of each stage."""
    found: list[StageGeometry] = []
    before = 1
    for index, (stride, after) in enumerate(stage_geometry(spec)):
        wide = spec.shortcut_kernel == "3x3" and (spec.strides[index] != 1 or spec.dilations[index] > 1)
        found.append(StageGeometry(stride, before, after, after > before, wide))
        before = after
    return found


def block_dilations(spec: ResNetSpec, stage: StageGeometry, block: int, *, last_stage: bool) -> BlockDilations:
    """The dilations of block number `block` of a stage."""
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
    else:  # in the OpenMMLab systems a basic block never dilates its second convolution
        lead = {"mmdet": after, "contract": max(after // 2, 1) if first else after, "grid_mmseg": grid}[policy]
        rest = 1
    branch = (lead, rest) if basic else (lead,)
    return BlockDilations(branch, before if policy == "exact" else lead, after if policy == "exact" else 1)
