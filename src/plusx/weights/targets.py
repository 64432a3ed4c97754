"""Which networks other systems can hold: of every target, the values of a spec's fields that it has, and what its file is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from plusx.graph import lower
from plusx.names import key_names
from plusx.names.shapes import COUNTER
from plusx.specs import KEYS, ResNetSpec
from plusx.specs.language import show_value
from plusx.specs.rules import default_of

Answer = Literal["expressible", "after folding", "refused"]
BOTH = ("3x3", "1x1")
STANDARD = ((64, 128, 256, 512),)
FREE = (
    "depths",
    "widths",
    "block",
    "in_channels",
    "classes",
    "drop_path",
    "block_dropout",
    "head_dropout",
    "zero_init",
)
"""Fields that every target holds, unless it says otherwise."""


@dataclass(frozen=True)
class Target:
    """A system that tensors are written for. `holds` maps fields to allowed values; None allows all, others stand at default."""

    name: str
    ecosystem: str
    suffixes: tuple[str, ...]
    holds: Mapping[str, tuple[Any, ...] | None] = field(default_factory=dict)
    has_head: bool = True


ALL: Mapping[str, tuple[Any, ...] | None] = {
    "block": ("bottleneck", "basic"), "groups": None, "width_per_group": None, "norm": ("batch", "frozen"), "stem_width": (64,),
    "widths": STANDARD,
}  # fmt: skip
TARGETS = {
    target.name: target
    for target in (
        Target("plusx", "", (".safetensors",)),
        Target("torchvision", "torchvision", (".safetensors", ".pth"), ALL),
        Target("timm", "timm", (".safetensors", ".pth"), ALL | {
            "stem": ("7x7", "deep", "tiered"), "stem_width": (64, 128), "shortcut": ("B", "D"), "gate": ("none", "se", "eca"),
            "norm": ("batch", "frozen", "group"), "order": ("post", "pre"), "widths": None,
        }),
        Target("mmdet", "MMDetection", (".pth", ".safetensors"), ALL | {
            "stem": ("7x7", "deep"), "stem_width": None, "shortcut": ("B", "D"), "stride_in": BOTH, "norm": ("batch", "frozen", "group"),
        }, has_head=False),
        Target("mmpretrain", "mmpretrain", (".pth", ".safetensors"), ALL | {
            "stem": ("7x7", "deep"), "shortcut": ("B", "D"), "stride_in": BOTH, "gate": ("none", "se"),
            "norm": ("batch", "frozen", "group"),
        }),
        Target("huggingface", "Hugging Face", ("",), {
            "stride_in": BOTH, "norm": ("batch", "frozen"), "stem_width": None, "widths": None,
        }),
        Target("detectron2", "detectron2", (".pkl",), ALL | {
            "stem": ("7x7", "deep"), "stride_in": BOTH, "norm": ("batch", "frozen", "group"), "stem_width": None, "widths": None,
        }),
        Target("keras", "Keras", (".h5",), {
            "stride_in": ("1x1",), "stem_bias": (False, True), "block": ("bottleneck",), "norm": ("batch", "frozen"),
            "stem_width": (64,), "widths": STANDARD, "depths": ((3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)),
        }),
    )
}  # fmt: skip
READ_ONLY = {"paddle": "PaddleClas reads its own .pdparams", "caffe": "Caffe reads its own caffemodel"}


def expressible(spec: ResNetSpec, target: Target) -> tuple[Answer, str]:
    """Whether a target holds this network as it is, after folding biases into norms, or not; and why.

    >>> expressible(ResNetSpec(stride_in="1x1"), TARGETS["torchvision"])
    ('refused', 'stride_in=1x1 (torchvision has 3x3)')
    """
    if not target.ecosystem:
        return "expressible", "its own format"
    folded, why = unfolded(spec, target)
    for name in KEYS:
        value = getattr(folded, name)
        allowed = target.holds.get(name, None if name in FREE else (default_of(name, folded),))
        if allowed is not None and value not in allowed:
            return (
                "refused",
                f"{name}={show_value(value)} ({target.name} has {' or '.join(show_value(v) for v in allowed)})",
            )
    names = key_names(folded, target.ecosystem)
    nameless = [key for key, tensor in lower(folded).tensors() if key not in names and tensor.name != COUNTER]
    nameless = [key for key in nameless if target.has_head or not key.startswith("fc.")]
    if nameless:
        return "refused", f"{target.name} has no name for {nameless[0]}"
    return ("after folding", why) if why else ("expressible", "as it is")


def unfolded(spec: ResNetSpec, target: Target) -> tuple[ResNetSpec, str]:
    """The spec in which the target holds the network: norms that change nothing for biases, and biases in their means."""
    if spec.norm == "none":
        return spec.replace(norm="batch"), "biases become norms that change nothing else"
    if (
        spec.stem_bias
        and True not in (target.holds.get("stem_bias") or ())
        and spec.order == "post"
        and spec.norm in ("batch", "frozen")
    ):
        return spec.replace(stem_bias=False), "the stem's bias goes into the mean of its norm"
    return spec, ""
