"""Views of an image: the ways in which a network may see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plusx.images import Preprocessing, resize_crop

CROP_SHARE = 0.75
"""Side of a crop as a share of the image's: crops of 3/4 overlap by half, and still show most objects whole."""


@dataclass(frozen=True)
class ImageView:
    """The whole image (`corner` None) or a crop of CROP_SHARE of both sides at a corner (0 or 1 for x and for y), mirrored or not."""

    name: str
    mirrored: bool = False
    corner: tuple[int, int] | None = None

    def __call__(self, image: NDArray[np.uint8], pre: Preprocessing) -> NDArray[np.uint8]:
        """The view of uint8 (h, w, c) at the network's size."""
        if self.corner is not None:
            (h, w), (x, y) = image.shape[:2], self.corner
            height, width = max(1, round(CROP_SHARE * h)), max(1, round(CROP_SHARE * w))
            top, left = y * (h - height), x * (w - width)
            image = image[top : top + height, left : left + width]
        image = resize_crop(image, pre)
        return image[:, ::-1] if self.mirrored else image


PLAIN = ImageView("plain")
MIRRORED = ImageView("mirrored", mirrored=True)
CROPS = (ImageView("crop-top-left", corner=(0, 0)), ImageView("crop-bottom-right", mirrored=True, corner=(1, 1)))
"""Two crops that cover the image together."""
