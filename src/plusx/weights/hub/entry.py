"""One row of the table of hub weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from plusx.i18n import Message
from plusx.specs import ResNetSpec, parse
from plusx.weights.hub.remote import Digest, RemoteFile

if TYPE_CHECKING:
    from plusx.images import Preprocessing

Mean = tuple[float, float, float]
IMAGENET_MEAN: Mean = (0.485, 0.456, 0.406)
IMAGENET_STD: Mean = (0.229, 0.224, 0.225)


class InputFacts(NamedTuple):
    """How RGB images become input: shorter side to `resize_px`, centre crop, then (x · scale - mean) / std."""

    resize_px: int
    crop_px: int
    interpolation: Literal["bilinear", "bicubic"]
    mean: Mean = IMAGENET_MEAN
    std: Mean = IMAGENET_STD
    scale: float = 1 / 255


class FrozenFeatures(NamedTuple):
    """How well a linear classifier on the frozen network works on other images."""

    verdict: Literal["good", "poor", "unknown"]
    why: Message


@dataclass(frozen=True)
class Entry:
    """Pretrained weights. What could not be verified is None, or `unknown` as a text."""

    name: str
    words: str
    """The network in plusx's words; empty where plusx has no such network, and `refuses` then says why."""
    files: tuple[RemoteFile, ...]
    """The file; of several, the first that the server has."""
    digest: Digest | None
    """The hash that the publisher states, or the part of it that the file's name has."""
    licence: str
    input: InputFacts
    top1: float | None
    """Percent on ImageNet-1k's validation images, with this input."""
    mib: float | None
    """Size of the file as published, in units of 2**20 bytes."""
    frozen: FrozenFeatures
    source: str
    """Where these facts stand."""
    colour: Literal["RGB", "BGR"] = "RGB"
    labels: str = "imagenet-1k"
    """The shipped list that names the classes; empty where plusx has none."""
    refuses: Message | None = None

    @property
    def spec(self) -> ResNetSpec | None:
        return parse(self.words) if self.words else None

    @property
    def preprocessing(self) -> Preprocessing:
        from plusx.images import Preprocessing

        resize_px, crop_px, interpolation, mean, std, scale = self.input
        return Preprocessing("RGB", resize_px, crop_px, interpolation, scale, mean, std)
