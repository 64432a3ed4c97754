"""The spec itself: one frozen record, every field concrete."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, cast

from plusx.specs.display import Displayed
from plusx.specs.keys import SPEC


@dataclass(frozen=True, slots=True)
class ResNetSpec(Displayed):
    """A whole ResNet, as asked for. Made by `plusx.spec`, `replace` or `from_dict`, which check it; fields as in design 2.

    Two specs are equal exactly when their networks are: a field that nothing reads stands at its default.
    """

    display_kind: ClassVar[str] = "network"
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

    def __str__(self) -> str:
        """The shortest words that give this spec: `str(spec("resnet34 shortcut=none")) == "plain34"`."""
        from plusx.specs.text import shortest_words

        return shortest_words(self)

    def replace(self, **keys: Any) -> ResNetSpec:
        """The same network with some keys written anew; what they imply follows. Raises SpecError.

        >>> from plusx import spec
        >>> str(spec("resnet50").replace(depths=(3, 4, 23, 3), gate="se"))
        'resnet101 gate=se'
        """
        from plusx.specs.rules import resolve

        return resolve(self, SPEC.checked(keys))

    def to_dict(self) -> dict[str, Any]:
        """Every field, as JSON and TOML can hold it (tuples as lists; absent values left out)."""

        def plain(value: Any) -> Any:
            return list(cast("tuple[int, ...]", value)) if isinstance(value, tuple) else value

        return {name: plain(value) for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ResNetSpec:
        """A spec from `to_dict`'s output, or from a part of it (the rest is default). Raises SpecError."""
        from plusx.specs.rules import resolve

        return resolve(cls(), SPEC.checked(values))
