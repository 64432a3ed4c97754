"""How an image is stored, where that tends to surprise: CMYK, 16 bits, a turn left to the viewer."""

from __future__ import annotations

from PIL import Image

from plusx.images.decode import BAD_IMAGE, ORIENTATION_TAG, opened

_WIDE = ("I", "I;", "F")


def traits(raw: bytes) -> tuple[str, ...]:
    """Which of cmyk, 16-bit, rotated are true of an encoded image that images.decode can read."""
    with opened(raw) as image:
        wide = image.mode.startswith(_WIDE) or _wide_colour(image)
        try:
            turn = image.getexif().get(ORIENTATION_TAG, 1)
        except BAD_IMAGE:  # nonsense in EXIF turns nothing
            turn = 1
        rotated = isinstance(turn, int) and 2 <= turn <= 8
        said = (("cmyk", image.mode == "CMYK"), ("16-bit", wide), ("rotated", rotated))
        return tuple(name for name, true in said if true)


def _wide_colour(image: Image.Image) -> bool:
    """Pillow opens 16-bit colour as RGB; only what it tells its decoders, of PPM the highest value, still says so."""
    told: list[object] = []
    for tile in getattr(image, "tile", ()):
        told += tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    high = image.format == "PPM" and any(isinstance(word, int) and word > 255 for word in told)
    return high or any(isinstance(word, str) and ";16" in word for word in told)
