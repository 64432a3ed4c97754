"""The fast path for JPEG: simplejpeg (libjpeg-turbo), scaled while decoding, and the orientation it ignores."""

from __future__ import annotations

import struct
from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError
from plusx.i18n import _
from plusx.images.limits import MAX_SEGMENTS

TOLERANCE = 2
"""Levels of 255 by which this path may differ from Pillow's at the same scale: under both lies libjpeg-turbo, but wheels carry
different builds of it. Equal where this was written; its quicker transform and upsampling, which differ by more, are not used."""
_SCALABLE_PX = 16  # below this the four scales can give equal sizes, and the two decoders may choose differently
# libjpeg's words for data that are lost, not merely odd; it paints over the hole, and Pillow says nothing of most
_DAMAGE = ("premature end", "bad huffman", "instead of rst", "inconsistent progression")


def scale_for(width: int, height: int, at_least_px: int | None) -> int:
    """1, 2, 4 or 8: the largest divisor after which both sides, rounded up, are still ≥ at_least_px.

    >>> scale_for(1600, 1200, 256), scale_for(1600, 1200, 151), scale_for(447, 900, 224), scale_for(640, 480, None)
    (4, 4, 2, 1)
    """
    if at_least_px is None or min(width, height) < _SCALABLE_PX:
        return 1
    return next((s for s in (8, 4, 2) if -(-min(width, height) // s) >= at_least_px), 1)


def decode_fast(raw: bytes, mode: str, at_least_px: int | None, max_pixels: int) -> NDArray[np.uint8] | None:
    """uint8 (h, w, c) without orientation applied, or None when this file is left to Pillow.

    Raises DataError for an image over the cap, or one whose data are cut or damaged.
    """
    simplejpeg = _simplejpeg()
    try:
        height, width, colours, _sampling = simplejpeg.decode_jpeg_header(raw, strict=False)
    except (ValueError, LookupError):  # a header cut before its colours is a KeyError there
        return None
    check_pixels(width, height, max_pixels)
    if colours not in ("YCbCr", "Gray"):  # CMYK, YCCK, RGB
        return None
    scale = scale_for(width, height, at_least_px)
    sizes = {} if scale == 1 else {"min_width": -(-width // scale), "min_height": -(-height // scale)}
    try:
        image = simplejpeg.decode_jpeg(raw, "GRAY" if mode == "L" else "RGB", **sizes)
    except ValueError as error:
        if any(word in str(error).lower() for word in _DAMAGE):
            raise DataError(
                _("the {kind} is damaged: it ends too early", kind="JPEG")
                if ends_early(error)
                else _("the {kind} is damaged", kind="JPEG")
            ) from error
        return None
    return image


def ends_early(error: BaseException) -> bool:
    """Whether a decoder ran out of bytes; its own words are not passed on, since they differ between versions."""
    return isinstance(error, EOFError) or any(word in str(error).lower() for word in ("truncat", "premature", "end of"))


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise DataError when an image is empty or larger than the cap."""
    if width * height > max_pixels:
        raise DataError(
            _(
                "it has {width} x {height} pixels, and at most {max_pixels} are read (make it smaller)",
                width=width,
                height=height,
                max_pixels=max_pixels,
            )
        )
    if width < 1 or height < 1:
        raise DataError(_("it has {width} x {height} pixels", width=width, height=height))


def orientation(raw: bytes) -> int:
    """The EXIF orientation 1 … 8 in a JPEG's bytes; 1 when there is none or it is nonsense."""
    at = 2
    for _segment in range(MAX_SEGMENTS):
        if at + 4 > len(raw) or raw[at] != 0xFF:
            break
        marker = raw[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in (0xD9, 0xDA):  # end, or the scan begins: no headers after it
            return 1
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            at += 2
            continue
        length = int.from_bytes(raw[at + 2 : at + 4], "big")
        if marker == 0xE1 and raw[at + 4 : at + 10] == b"Exif\0\0":
            return _orientation_in_tiff(raw[at + 10 : at + 2 + length])
        at += 2 + max(length, 2)
    return 1


def _orientation_in_tiff(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory (EXIF 2.32, 4.6.2; TIFF 6.0, section 2)."""
    endian = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        if endian is None:
            return 1
        (at,) = struct.unpack_from(endian + "I", tiff, 4)
        (entries,) = struct.unpack_from(endian + "H", tiff, at)
        for i in range(entries):
            tag, kind, count = struct.unpack_from(endian + "HHI", tiff, at + 2 + 12 * i)
            if tag == 0x0112:
                (value,) = struct.unpack_from(endian + "H", tiff, at + 10 + 12 * i)
                return value if kind == 3 and count == 1 and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def oriented(image: NDArray[np.uint8], value: int) -> NDArray[np.uint8]:
    """(h, w, c) turned upright for EXIF orientation `value`; 5 to 8 exchange height and width."""
    if value in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if value in (3, 4, 7, 8):
        image = image[::-1]
    if value in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image if value == 1 else np.ascontiguousarray(image)


@cache
def _simplejpeg() -> ModuleType:
    import simplejpeg

    return simplejpeg
