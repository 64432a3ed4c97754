"""A heat map over the input image, with the receptive field of its hottest cell."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plusx.nn.cam import Cam

if TYPE_CHECKING:
    from PIL import ImageDraw

MIN_PX = 448
"""Small inputs are enlarged by a whole factor to at least this side, so that lines and dots are visible."""

COLOURS = np.array([[13, 8, 135], [156, 23, 158], [237, 121, 83], [240, 249, 33]], dtype=np.float64)
"""From no heat to most heat: matplotlib's plasma at 0, 1/3, 2/3 and 1."""
FIELD = (255, 255, 255)
SHADOW = (0, 0, 0)
MAX_OPACITY = 0.6
"""The opacity of the colour where the heat is greatest; without heat, the image alone is visible."""


def cam_png(image: NDArray[np.uint8], cam: Cam) -> bytes:
    """A PNG of the uint8 image (h, w, c) under the heat map.

    Dots mark the centres of cells, a ring the hottest cell, and a box its receptive field, as far as it lies in the image.
    """
    from PIL import Image, ImageDraw

    h, w = image.shape[:2]
    factor = max(1, -(-MIN_PX // max(h, w)))
    base = Image.fromarray(np.broadcast_to(image, (h, w, 3)).astype(np.uint8)).resize(
        (w * factor, h * factor), Image.Resampling.BICUBIC
    )
    heat = Image.fromarray((cam.placed() * 255).round().astype(np.uint8)).resize(base.size, Image.Resampling.BILINEAR)
    share = np.asarray(heat, dtype=np.float64) / 255
    weight = MAX_OPACITY * share[..., None]
    mixed = (1 - weight) * np.asarray(base, dtype=np.float64) + weight * _coloured(share)
    canvas = Image.fromarray(mixed.round().astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    _dots(draw, cam, factor)
    peak = cam.peak()
    left, top, right, bottom = (side * factor for side in cam.field(peak))
    for width, colour in ((5, SHADOW), (2, FIELD)):
        draw.rectangle((left, top, right, bottom), outline=colour, width=width)
    y, x = (side * factor for side in cam.centre(peak))
    for radius, colour in ((9, SHADOW), (7, FIELD)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return out.getvalue()


def _coloured(share: NDArray[np.float64]) -> NDArray[np.float64]:
    stops = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(share, stops, COLOURS[:, channel]) for channel in range(3)], axis=-1)


def _dots(draw: ImageDraw.ImageDraw, cam: Cam, factor: int) -> None:
    if cam.info.stride * factor < 24:  # dots that touch would hide the image
        return
    for row in range(cam.heat.shape[0]):
        for column in range(cam.heat.shape[1]):
            y, x = (side * factor for side in cam.centre((row, column)))
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=FIELD, outline=SHADOW)
