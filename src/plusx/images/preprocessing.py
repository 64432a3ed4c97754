"""From a decoded image to the numbers a network takes: resize, crop, normalise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError
from plusx.i18n import _

Interpolation = Literal["bilinear", "bicubic"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """How images become input: `mode`, shorter side `resize_px`, centre `crop_px`, then (x · scale - mean) / std.

    resize_px None leaves the size, crop_px None crops nothing (then the images of a batch must be equal in size).
    mean and std have one value a channel. Raises DataError for values that cannot be.
    """

    mode: Literal["RGB", "L"]
    resize_px: int | None
    crop_px: int | None
    interpolation: Interpolation = "bilinear"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.mode not in ("RGB", "L"):
            raise DataError(_("The preprocessing mode {mode!r} is unknown. Use RGB or L.", mode=self.mode))
        if self.interpolation not in ("bilinear", "bicubic"):
            raise DataError(
                _(
                    "The interpolation {interpolation!r} is unknown. Use bilinear or bicubic.",
                    interpolation=self.interpolation,
                )
            )
        for name, px in (("resize_px", self.resize_px), ("crop_px", self.crop_px)):
            if px is not None and (type(px) is not int or not 1 <= px <= 16384):
                raise DataError(_("Preprocessing cannot have {name}={px}. Give 1 to 16384, or none.", name=name, px=px))
        if not len(self.mean) == len(self.std) == self.channels:
            raise DataError(
                _(
                    "Preprocessing has {means} means and {stds} standard deviations, but mode {mode} needs {channels} of each. Give {channels}.",
                    means=len(self.mean),
                    stds=len(self.std),
                    mode=self.mode,
                    channels=self.channels,
                )
            )
        if not all(np.isfinite([self.scale, *self.mean, *self.std])) or self.scale == 0 or 0 in self.std:
            raise DataError(
                _(
                    "Preprocessing has scale={scale}, mean={mean} and std={std}. Give finite values, and a scale and std other than 0.",
                    scale=self.scale,
                    mean=self.mean,
                    std=self.std,
                )
            )

    @property
    def channels(self) -> int:
        return 1 if self.mode == "L" else 3

    @property
    def decode_px(self) -> int | None:
        """The `at_least_px` for decode: what the resize needs, so that a scaled JPEG is never enlarged."""
        return self.resize_px

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preprocessing:
        """The inverse of to_dict. Raises KeyError or TypeError for another set of keys, DataError for bad values."""
        known = dict(fields)
        mean, std = (tuple(float(v) for v in known.pop(key)) for key in ("mean", "std"))
        return cls(mean=mean, std=std, **known)


@dataclass(frozen=True)
class InputPlace:
    """Where the input that was cut from an image lies in it: `box` in pixels of the image, `size_px` (h, w) of the input.

    The box extends beyond the image where the input was filled with black.
    """

    box: Box
    size_px: tuple[int, int]

    def at(self, y: float, x: float) -> tuple[float, float]:
        """(y, x) in the image of a point of the input; in both 0.5 is the centre of pixel 0."""
        (left, top, right, bottom), (h, w) = self.box, self.size_px
        return top + y * (bottom - top) / h, left + x * (right - left) / w

    def times(self, factor: float) -> InputPlace:
        """The same in a copy of the image that is `factor` times as large."""
        left, top, right, bottom = (side * factor for side in self.box)
        return InputPlace((left, top, right, bottom), self.size_px)


def input_place(h: int, w: int, pre: Preprocessing) -> InputPlace:
    """Which part of an image of h × w pixels `resize_crop` returns.

    >>> input_place(300, 600, Preprocessing("RGB", 150, 112)).box
    (188.0, 38.0, 412.0, 262.0)
    """
    to_h, to_w = (h, w) if pre.resize_px is None else _shorter_to(h, w, pre.resize_px)
    y, x, crop = h / to_h, w / to_w, pre.crop_px
    if crop is None:
        return InputPlace((0.0, 0.0, float(w), float(h)), (to_h, to_w))
    top, left = (_crop_start(max(side, crop), crop) - max(crop - side, 0) // 2 for side in (to_h, to_w))
    return InputPlace((left * x, top * y, (left + crop) * x, (top + crop) * y), (crop, crop))


def resize_crop(image: NDArray[np.uint8], pre: Preprocessing) -> NDArray[np.uint8]:
    """uint8 (h, w, c) → (crop, crop, c): shorter side to resize_px, then the centre; one antialiased pass over both.

    Sizes are torchvision's: the longer side is int(resize_px · longer / shorter); the crop starts at
    round((side - crop) / 2), halves to even. A crop larger than the image is filled with black, as there.
    """
    h, w = image.shape[:2]
    if pre.resize_px is not None:
        to_h, to_w = _shorter_to(h, w, pre.resize_px)
        if pre.crop_px is not None and pre.crop_px <= min(to_h, to_w):
            # only the part that is kept is resampled: the same filter taps, a fraction of the work
            return _resized_centre(image, (to_h, to_w), pre.crop_px, pre.interpolation)
        image = resize_box(image, (0, 0, w, h), (to_h, to_w), pre.interpolation)
    return image if pre.crop_px is None else centre_crop(image, pre.crop_px)


def resize_box(
    image: NDArray[np.uint8], box: Box, size: tuple[int, int], interpolation: Interpolation = "bilinear"
) -> NDArray[np.uint8]:
    """The part `box` = (left, top, right, bottom) of uint8 (h, w, c), resized to `size` = (h, w), Pillow's filters."""
    from PIL import Image

    h, w, c = image.shape
    if tuple(box) == (0, 0, w, h) and size == (h, w):
        return image
    kernel = Image.Resampling.BICUBIC if interpolation == "bicubic" else Image.Resampling.BILINEAR
    left = top = 0
    if interpolation == "bilinear":
        # Pillow copies what it is given: of wide images, and of random crops, most would be for nothing. A part may be
        # taken rows first where the whole is taken columns first: one level for bilinear, but bicubic clips in between
        (left, right), (top, bottom) = _reached(box[0], box[2], size[1], w), _reached(box[1], box[3], size[0], h)
        image = image[top:bottom, left:right]
    pil_image = Image.fromarray(image[..., 0] if c == 1 else image)
    inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return _as_array(pil_image.resize((size[1], size[0]), kernel, box=inner))


def _reached(low: float, high: float, to: int, side: int) -> tuple[int, int]:
    """First and last (exclusive) cell of an axis that bilinear's filter, one output wide to each side, takes up."""
    far = max(1.0, (high - low) / to) + 1
    return max(0, math.floor(low - far)), min(side, math.ceil(high + far))


def centre_crop(image: NDArray[np.uint8], crop_px: int) -> NDArray[np.uint8]:
    """The centre (crop, crop, c) of uint8 (h, w, c); what is missing is black."""
    h, w = image.shape[:2]
    if h < crop_px or w < crop_px:
        pad_h, pad_w = max(crop_px - h, 0), max(crop_px - w, 0)
        padding = ((pad_h // 2, pad_h - pad_h // 2), (pad_w // 2, pad_w - pad_w // 2), (0, 0))
        image = np.pad(image, padding)
        h, w = image.shape[:2]
    top, left = _crop_start(h, crop_px), _crop_start(w, crop_px)
    return image[top : top + crop_px, left : left + crop_px]


def normalise(batch: NDArray[np.uint8], pre: Preprocessing) -> NDArray[np.float32]:
    """uint8 (n, h, w, c) → float32 (n, c, h, w), contiguous: (x · scale - mean) / std.

    Each of the 256 values a channel can have is computed once, in float64, and rounded once.
    """
    if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[-1] != pre.channels:
        raise DataError(
            _(
                "The images are {dtype} of shape {shape}. Give uint8 of shape (n, h, w, {channels}).",
                dtype=batch.dtype,
                shape=batch.shape,
                channels=pre.channels,
            )
        )
    n, h, w, c = batch.shape
    out = np.empty((n, c, h, w), dtype=np.float32)
    values = np.arange(256, dtype=np.float64) * pre.scale
    for channel in range(c):
        table = ((values - pre.mean[channel]) / pre.std[channel]).astype(np.float32)
        # mode="clip" lets take write straight into `out`; uint8 cannot leave the table
        np.take(table, batch[..., channel], out=out[:, channel], mode="clip")
    return out


def _shorter_to(h: int, w: int, px: int) -> tuple[int, int]:
    if h <= w:
        return px, max(px, int(px * w / h))
    return max(px, int(px * h / w)), px


def _crop_start(side: int, crop_px: int) -> int:
    return round((side - crop_px) / 2)


def _resized_centre(
    image: NDArray[np.uint8], to: tuple[int, int], crop_px: int, interpolation: Interpolation
) -> NDArray[np.uint8]:
    h, w = image.shape[:2]
    to_h, to_w = to
    top, left = _crop_start(to_h, crop_px), _crop_start(to_w, crop_px)
    y, x = h / to_h, w / to_w
    box = (left * x, top * y, min((left + crop_px) * x, w), min((top + crop_px) * y, h))
    return resize_box(image, box, (crop_px, crop_px), interpolation)


def _as_array(image: object) -> NDArray[np.uint8]:
    array = cast("NDArray[np.uint8]", np.asarray(image))
    return array[..., None] if array.ndim == 2 else array
