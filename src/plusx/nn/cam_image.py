"""A heat map over the whole image that the network saw a part of, with the receptive field of its hottest cell."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plusx.images.preprocessing import InputPlace
from plusx.nn.cam import Cam

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

MIN_PX = 448
"""Small images are enlarged by a whole factor to at least this side, so that lines and dots are visible."""

COLOURS = np.array([[13, 8, 135], [156, 23, 158], [237, 121, 83], [240, 249, 33]], dtype=np.float64)
"""From no heat to most heat: matplotlib's plasma at 0, 1/3, 2/3 and 1."""
FIELD = (255, 255, 255)
SHADOW = (0, 0, 0)
MAX_OPACITY = 0.6
"""The opacity of the colour where the heat is greatest; without heat, the image alone is visible."""
UNSEEN = 0.45
"""The brightness of what lies outside the network's input."""


def cam_image(image: NDArray[np.uint8], cam: Cam, place: InputPlace) -> Image.Image:
    """The uint8 image (h, w, c) under the heat map, of the same size. What lies outside `place`, the input, is darker."""
    from PIL import Image

    h, w = image.shape[:2]
    base = Image.fromarray(np.broadcast_to(image, (h, w, 3)).astype(np.uint8))
    heat = Image.fromarray((cam.over(h, w, place) * 255).round().astype(np.uint8))
    colours = heat.copy()
    colours.putpalette(_palette())
    base.paste(colours.convert("RGB"), mask=heat.point([round(MAX_OPACITY * value) for value in range(256)]))
    left, top, right, bottom = (round(side) for side in place.box)
    for box in ((0, 0, w, top), (0, bottom, w, h), (0, top, left, bottom), (right, top, w, bottom)):
        x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], w), min(box[3], h)
        if x0 < x1 and y0 < y1:
            base.paste(base.crop((x0, y0, x1, y1)).point(lambda value: int(value * UNSEEN)), (x0, y0))
    return base


def cam_png(image: NDArray[np.uint8], cam: Cam, place: InputPlace) -> tuple[bytes, tuple[int, int]]:
    """A PNG of `cam_image`, and its (h, w). A small image is enlarged.

    Dots mark the centres of cells, a ring the hottest cell, and a box its receptive field, as far as it lies in the image.
    """
    from PIL import Image, ImageDraw

    h, w = image.shape[:2]
    factor = max(1, -(-MIN_PX // max(h, w)))
    if factor > 1:
        rgb = Image.fromarray(np.broadcast_to(image, (h, w, 3)).astype(np.uint8))
        image = np.asarray(rgb.resize((w * factor, h * factor), Image.Resampling.BICUBIC))
        place = place.times(factor)
    canvas = cam_image(image, cam, place)
    thick = max(1, max(canvas.size) // MIN_PX)
    draw = ImageDraw.Draw(canvas)
    _dots(draw, cam, place, thick)
    left, top, right, bottom = cam.field(cam.peak())
    (top, left), (bottom, right) = place.at(top, left), place.at(bottom, right)
    for width, colour in ((5, SHADOW), (2, FIELD)):
        draw.rectangle((left, top, right, bottom), outline=colour, width=width * thick)
    y, x = place.at(*cam.centre(cam.peak()))
    for radius, colour in ((9, SHADOW), (7, FIELD)):
        _circle(draw, y, x, radius * thick, outline=colour, width=2 * thick)
    out = io.BytesIO()
    canvas.save(out, "PNG", compress_level=3)  # a third of the time of the default, and an eighth more bytes
    return out.getvalue(), (canvas.height, canvas.width)


def _palette() -> list[int]:
    stops = np.linspace(0, 255, len(COLOURS))
    channels = [np.interp(np.arange(256), stops, COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(int).ravel().tolist()


def _dots(draw: ImageDraw.ImageDraw, cam: Cam, place: InputPlace, thick: int) -> None:
    (y0, x0), (y1, x1) = place.at(0, 0), place.at(cam.info.stride, cam.info.stride)
    if min(y1 - y0, x1 - x0) < 24 * thick:  # dots that touch would hide the image
        return
    for row in range(cam.heat.shape[0]):
        for column in range(cam.heat.shape[1]):
            y, x = place.at(*cam.centre((row, column)))
            _circle(draw, y, x, 2 * thick, fill=FIELD, outline=SHADOW)


def _circle(draw: ImageDraw.ImageDraw, y: float, x: float, radius: float, **look: object) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), **look)  # type: ignore[arg-type]
