"""Strides and dilations of the stages, as they follow from the fields."""

from __future__ import annotations

from typing import Any

from plusx.specs.fields import DEFAULTS, SpecFields


def natural_strides(stages: int) -> tuple[int, ...]:
    """The default strides of so many stages."""
    return (1,) + (2,) * (stages - 1)


def default_of(name: str, spec: SpecFields) -> Any:
    """The default of a field; the defaults of strides and dilations depend on the number of stages."""
    stages = len(spec.depths)
    if name == "strides":
        return natural_strides(stages)
    return (1,) * stages if name == "dilations" else DEFAULTS[name]


def stem_stride(spec: SpecFields) -> int:
    """The stride of the stem with its pool."""
    return (1 if spec.stem == "3x3" else 2) * (1 if spec.stem_pool == "none" else 2)


def stage_geometry(spec: SpecFields) -> list[tuple[int, int]]:
    """(stride, dilation) of each stage, after `output_stride` has replaced strides by dilations.

    The rule is that of timm models/resnet.py make_blocks and torchvision models/resnet.py _make_layer.
    """
    pairs: list[tuple[int, int]] = []
    reached, dilation = stem_stride(spec), 1
    if spec.output_stride is None:
        return list(zip(spec.strides, spec.dilations, strict=True))
    for stride in spec.strides:
        if reached >= spec.output_stride:
            dilation, stride = dilation * stride, 1
        reached *= stride
        pairs.append((stride, dilation))
    return pairs


def natural_output_stride(spec: SpecFields) -> int:
    """The output stride that the written strides give without dilation."""
    stride = stem_stride(spec)
    for factor in spec.strides:
        stride *= factor
    return stride
