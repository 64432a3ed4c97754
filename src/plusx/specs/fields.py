"""The fields of a network's specification as plain data, on which the rules and the printer work."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class SpecFields:
    """All fields with their defaults: those of ResNet-50. Nothing is checked here; `rules.resolve` does that."""

    depths: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    block: str = "bottleneck"
    stride_in: str = "3x3"
    stem: str = "7x7"
    stem_width: int = 64
    stem_bias: bool = False
    stem_pool: str = "max"
    shortcut: str = "B"
    shortcut_kernel: str = "1x1"
    shortcut_align: str = "front"
    first_shortcut: str = "auto"
    join: str = "add"
    gate: str = "none"
    gate_ratio: str = "1/16"
    order: str = "post"
    groups: int = 1
    width_per_group: int = 64
    strides: tuple[int, ...] = (1, 2, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    output_stride: int | None = None
    dilate: str = "exact"
    multi_grid: tuple[int, ...] = ()
    padding: str = "same"
    norm: str = "batch"
    act: str = "relu"
    drop_path: float = 0.0
    block_dropout: float = 0.0
    head_dropout: float = 0.0
    zero_init: bool = False
    in_channels: int = 3
    classes: int = 1000
    until: str | None = None

    def values(self) -> dict[str, Any]:
        """Every field by name."""
        return {name: getattr(self, name) for name in DEFAULTS}


DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(SpecFields)}
"""The default of each field by name."""
