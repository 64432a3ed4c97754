"""Augmentations of uint8 arrays. Parameters are a function of data.uniform, so they depend on seed, epoch and position alone.

Every augmentation has its own range of k, so switching one off changes no other.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plusx.data.permutation import uniform

K_FLIP = 0
K_SHIFT = 1  # and 2
K_ERASE = 3  # to 7
K_CROP = 8  # to 47: ten attempts of four numbers
K_FREE = 64  # used by the trainer from here on
_ATTEMPTS = 10


def flips(seed: int, epoch: int, positions: ArrayLike, share: float = 0.5) -> NDArray[np.bool_]:
    """Which samples are mirrored: bool (n,)."""
    return uniform(seed, epoch, positions, K_FLIP) < share


def flip(images: NDArray[np.uint8], chosen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(n, h, w, c) with the chosen ones mirrored left to right."""
    mirrored = np.array(images, order="C")
    # whole pixels: numpy moves them four times as fast as single bytes
    pixels = mirrored.view(f"V{images.shape[-1]}")[..., 0]
    pixels[chosen] = pixels[chosen][:, :, ::-1]
    return mirrored


def shifts(seed: int, epoch: int, positions: ArrayLike, pad_px: int) -> NDArray[np.int64]:
    """Where the crop of an image padded by pad_px begins: int64 (n, 2), (top, left), each 0 … 2 · pad_px."""
    u = uniform(seed, epoch, np.atleast_1d(np.asarray(positions))[:, None], np.array([K_SHIFT, K_SHIFT + 1]))
    return (u * (2 * pad_px + 1)).astype(np.int64)


def shift(images: NDArray[np.uint8], starts: NDArray[np.int64], pad_px: int) -> NDArray[np.uint8]:
    """Pad-and-crop: (n, h, w, c) padded with zeros by pad_px on each side, cut to (h, w) at `starts` (n, 2)."""
    n, h, w, _ = images.shape
    if pad_px == 0:
        return images
    padded = np.pad(images, ((0, 0), (pad_px, pad_px), (pad_px, pad_px), (0, 0)))
    rows = starts[:, :1] + np.arange(h)
    columns = starts[:, 1:] + np.arange(w)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def crop_draws(seed: int, epoch: int, positions: ArrayLike) -> NDArray[np.float64]:
    """What `crop_box` draws for each position: float64 (n, 10, 4), ten attempts of area, aspect, left, top in [0, 1)."""
    k = K_CROP + np.arange(4 * _ATTEMPTS).reshape(_ATTEMPTS, 4)
    return uniform(seed, epoch, np.atleast_1d(np.asarray(positions))[:, None, None], k)


def crop_box(
    draws: NDArray[np.float64],
    height: int,
    width: int,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> tuple[int, int, int, int]:
    """Box of a random-resized crop: (left, top, right, bottom) in an image of this size, by one position's `crop_draws`.

    The distribution is torchvision's RandomResizedCrop: area uniform in `scale`, log aspect uniform in `ratio`, ten attempts,
    else the largest centre box whose aspect is within `ratio`. Sizes are those of the decoded image.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for u_area, u_aspect, u_left, u_top in draws.tolist():
        area = height * width * (scale[0] + u_area * (scale[1] - scale[0]))
        aspect = math.exp(low + u_aspect * (high - low))
        box_w, box_h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_w <= width and 0 < box_h <= height:
            left, top = int(u_left * (width - box_w + 1)), int(u_top * (height - box_h + 1))
            return left, top, left + box_w, top + box_h
    box_w = max(1, min(width, round(height * ratio[1])))
    box_h = max(1, min(height, round(width / ratio[0])))
    left, top = (width - box_w) // 2, (height - box_h) // 2
    return left, top, left + box_w, top + box_h


def erase_boxes(
    seed: int,
    epoch: int,
    positions: ArrayLike,
    height: int,
    width: int,
    share: float = 0.25,
    scale: tuple[float, float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 3.3),
) -> NDArray[np.int64]:
    """Boxes to erase: int64 (n, 4), (left, top, right, bottom); empty (0, 0, 0, 0) for the others.

    Area and aspect are drawn as in Zhong et al. 2017 and cut to the image's sides.
    """
    u = uniform(seed, epoch, np.atleast_1d(np.asarray(positions))[:, None], K_ERASE + np.arange(5))
    area = height * width * (scale[0] + u[:, 1] * (scale[1] - scale[0]))
    aspect = np.exp(np.log(ratio[0]) + u[:, 2] * (np.log(ratio[1]) - np.log(ratio[0])))
    box_w = np.clip(np.rint(np.sqrt(area * aspect)), 1, width).astype(np.int64)
    box_h = np.clip(np.rint(np.sqrt(area / aspect)), 1, height).astype(np.int64)
    left = (u[:, 3] * (width - box_w + 1)).astype(np.int64)
    top = (u[:, 4] * (height - box_h + 1)).astype(np.int64)
    boxes = np.stack([left, top, left + box_w, top + box_h], axis=1)
    return np.where((u[:, 0] < share)[:, None], boxes, 0)


def erase(images: NDArray[np.uint8], boxes: NDArray[np.int64], fill: ArrayLike = 0) -> NDArray[np.uint8]:
    """(n, h, w, c) with each box painted in `fill`, one value or one a channel (the data's mean is a good one)."""
    _, h, w, c = images.shape
    y, x = np.arange(h)[:, None], np.arange(w)
    left, top, right, bottom = (side[:, None, None] for side in boxes.T)
    inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
    return np.where(inside[..., None], np.broadcast_to(np.asarray(fill, dtype=np.uint8), (c,)), images)
