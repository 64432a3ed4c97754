"""What an ecosystem assumes: conventions, each with its reason, and how its images become input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from plusx.i18n import Message, _
from plusx.images import Preprocessing

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """What a family is recognised by: a candidate's tensors under plusx's names, where it lies, and what lies around it."""

    naming: str
    shapes: Mapping[str, Shape]
    """plusx's key to shape."""
    theirs: Mapping[str, str]
    """plusx's key to the name in the file, without prefix."""
    prefix: str
    around: tuple[str, ...]
    """Names of all other tensors of the file, with their whole paths."""
    facts: Mapping[str, Any]
    """Plain values of the file by path (`meta.mmdet_version`, `arch`), and its metadata."""

    def some_around(self, *parts: str) -> str | None:
        """The first other tensor whose path has one of these parts in it, or None."""
        return next((name for name in self.around if any(part in name for part in parts)), None)

    @property
    def last_channels(self) -> int:
        keys = [
            key for key in self.shapes if key.startswith("layer") and key.endswith(("conv2.weight", "conv3.weight"))
        ]
        return self.shapes[max(keys)][0] if keys else 0

    @property
    def stages(self) -> int:
        return len({key.partition(".")[0] for key in self.shapes if key.startswith("layer")})

    @property
    def bottleneck(self) -> bool:
        return "layer1.0.conv3.weight" in self.shapes


Sign = Callable[[Seen], Message | None]
"""Why a candidate is of a family, in a few words; None where it is not."""


@dataclass(frozen=True)
class Family:
    """An ecosystem. `settles` maps fields of the spec to (value, why): what it always does, though no tensor shows it."""

    name: Message
    naming: str
    sign: Sign
    settles: Mapping[str, tuple[Any, Message]] = field(default_factory=dict)
    colour: str = "RGB"
    preprocessing: Preprocessing | None = None
    source: str = ""
    """Where the preprocessing is defined."""
    eps: float = 1e-5
    refuses: Message | None = None
    """Why plusx has no such network, where it has none."""
    zero_biases: bool = False
    """Whether its files hold a bias of zeros for each convolution."""
    affine_norms: bool = False
    """Whether its norms hold a scale and an offset alone, statistics multiplied into them."""
    embeds: bool = False
    """Whether its fc may give an embedding rather than classes."""
    config_file: bool = False
    """Whether a config.json beside the file describes the network."""


PLAIN: dict[str, tuple[Any, Message]] = {
    "stride_in": ("3x3", _("its bottlenecks stride in the 3x3 (v1.5)")),
    "stem_pool": ("max", _("its stem pools 3x3 with padding 1")),
    "strides": (None, _("each stage after the first halves the map")),
    "dilations": (None, _("no stage is dilated")),
    "act": ("relu", _("its activation is relu")),
    "join": ("add", _("branch and shortcut are added")),
    "padding": ("same", _("convolutions are padded")),
}
"""torchvision's network; None is the natural value for the number of stages."""

CAFFE_STRIDE = {"stride_in": ("1x1", _("its bottlenecks stride in the first 1x1 (v1)"))}

IMAGENET = Preprocessing("RGB", 256, 224)
BICUBIC = Preprocessing("RGB", 256, 224, "bicubic")
SMALL = Preprocessing("RGB", 32, 32)


def raw(mean_rgb: tuple[float, float, float], size_px: int = 256) -> Preprocessing:
    """Images from 0 to 255, minus a mean (here in RGB order, wherever the family writes BGR)."""
    return Preprocessing("RGB", size_px, 224, "bilinear", 1.0, mean_rgb, (1.0, 1.0, 1.0))


DETECTRON_MEAN = raw((123.675, 116.28, 103.53))
KERAS_MEAN = raw((123.68, 116.779, 103.939), 224)
CAFFE_MEAN = raw((122.7717, 115.9465, 102.9801))
