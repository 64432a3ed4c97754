"""Unusual properties of an encoded image: CMYK, 16 bits a channel, an EXIF orientation."""

from __future__ import annotations

from plusx.images import watched
from plusx.images.decode import BAD_IMAGE, ORIENTATION_TAG, is_wide_colour, opened

_WIDE = ("I", "I;", "F")


def traits(raw: bytes) -> tuple[str, ...]:
    """Which of cmyk, 16-bit, rotated are true of an encoded image that images.decode can read."""
    if watched.is_slow(raw):
        return tuple(watched.call("traits", raw)[0]["traits"])
    with opened(raw) as image:
        wide = image.mode.startswith(_WIDE) or is_wide_colour(image)
        try:
            turn = image.getexif().get(ORIENTATION_TAG, 1)
        except BAD_IMAGE:  # nonsense in EXIF turns nothing
            turn = 1
        rotated = isinstance(turn, int) and 2 <= turn <= 8
        said = (("cmyk", image.mode == "CMYK"), ("16-bit", wide), ("rotated", rotated))
        return tuple(name for name, true in said if true)
