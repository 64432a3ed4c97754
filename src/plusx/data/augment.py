"""Augmentations of uint8 arrays. Parameters are a function of data.uniform, so they depend on seed, epoch and position alone.

Every augmentation has its own range of k, so switching one off changes no other.
"""

from __future__ import annotations

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
    return np.where(chosen[:, None, None, None], images[:, :, ::-1], images)


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


def crop_boxes(
    seed: int,
    epoch: int,
    positions: ArrayLike,
    heights: ArrayLike,
    widths: ArrayLike,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> NDArray[np.int64]:
    """Boxes of random-resized crops: int64 (n, 4), (left, top, right, bottom), inside images of these sizes.

    The distribution is torchvision's RandomResizedCrop: area uniform in `scale`, log aspect uniform in `ratio`, ten attempts,
    else the largest centre box whose aspect is within `ratio`. Sizes are those of the decoded image.
    """
    positions = np.atleast_1d(np.asarray(positions))
    h, w = (np.broadcast_to(np.asarray(side, dtype=np.int64), positions.shape) for side in (heights, widths))
    k = K_CROP + 4 * np.arange(_ATTEMPTS)
    u_area, u_aspect, u_left, u_top = (uniform(seed, epoch, positions[:, None], k + i) for i in range(4))
    area = (h * w)[:, None] * (scale[0] + u_area * (scale[1] - scale[0]))
    aspect = np.exp(np.log(ratio[0]) + u_aspect * (np.log(ratio[1]) - np.log(ratio[0])))
    box_w = np.rint(np.sqrt(area * aspect)).astype(np.int64)
    box_h = np.rint(np.sqrt(area / aspect)).astype(np.int64)
    fits = (box_w > 0) & (box_h > 0) & (box_w <= w[:, None]) & (box_h <= h[:, None])
    first = fits.argmax(axis=1)
    rows = np.arange(len(positions))
    box_w, box_h = box_w[rows, first], box_h[rows, first]
    left = (u_left[rows, first] * (w - box_w + 1)).astype(np.int64)
    top = (u_top[rows, first] * (h - box_h + 1)).astype(np.int64)
    boxes = np.stack([left, top, left + box_w, top + box_h], axis=1)
    return np.where(fits.any(axis=1)[:, None], boxes, _centre_boxes(h, w, ratio))


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


def _centre_boxes(h: NDArray[np.int64], w: NDArray[np.int64], ratio: tuple[float, float]) -> NDArray[np.int64]:
    box_w = np.maximum(np.minimum(w, np.rint(h * ratio[1]).astype(np.int64)), 1)
    box_h = np.maximum(np.minimum(h, np.rint(w / ratio[0]).astype(np.int64)), 1)
    left, top = (w - box_w) // 2, (h - box_h) // 2
    return np.stack([left, top, left + box_w, top + box_h], axis=1)
