"""Small copies of images, to look at in a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

from plusx.images.preprocessing import resize_box

SIDE_PX = 144
"""The longer side: 112 pixels of a page, sharp on most screens."""
PIXEL_ART_PX = 64
"""Images of at most this side are kept to the pixel."""
QUALITY = 74


def thumbnail(image: NDArray[np.uint8], side_px: int = SIDE_PX) -> str:
    """uint8 (h, w, c) as the data URI of a JPEG whose longer side is at most `side_px`; tiny images as a PNG, unchanged."""
    from PIL import Image

    h, w, c = image.shape
    kind = "PNG" if max(h, w) <= PIXEL_ART_PX else "JPEG"
    if max(h, w) > side_px:
        size = (max(1, round(h * side_px / max(h, w))), max(1, round(w * side_px / max(h, w))))
        image = resize_box(image, (0, 0, w, h), size)
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if c == 1 else image).save(file, kind, quality=QUALITY, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
