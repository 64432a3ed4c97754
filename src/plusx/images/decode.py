"""The one decode: bytes of an image → uint8 array. Nothing else in plusx opens images.

Formats are allow-listed, pixels capped, nothing is read from what is not a regular file. EXIF orientation is applied.
Alpha is laid over white (what a viewer shows; the colours under transparent pixels are arbitrary). 16-bit grey becomes
round(v / 257); 16-bit colour PNG keeps its high bytes (Pillow). Palettes and CMYK are converted. Of animated and
multi-page files the first image counts. A grey JPEG, or a JPEG asked for as L, is its luminance plane.
"""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from plusx.errors import DataError
from plusx.files import read_regular
from plusx.i18n import Message, _
from plusx.images import watched
from plusx.images.jpeg import check_pixels, decode_fast, ends_early, orientation, oriented, scale_for
from plusx.images.limits import RATIO_PIXELS, check_ratio, check_scans, without_comments
from plusx.images.magic import FORMATS, HEAD_BYTES, format_of, unsupported

MAX_PIXELS = 89_478_485  # Pillow's own MAX_IMAGE_PIXELS: a quarter of a gigabyte of RGB
MAX_FILE_BYTES = 1 << 29
_WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GREY_MODES = ("1", "L", "LA", *_WIDE_MODES)
ORIENTATION_TAG = 0x0112
_JPEG = ("JPEG", "MPO")  # MPO: several JPEGs in one file, as cameras write them; Pillow finds it out by itself
# what Pillow's plugins raise for hostile bytes, found by mutating files
BAD_IMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
_LARGE = threading.Lock()
"""Held while a large image is decoded, which takes up to a gigabyte: one at a time, however many threads there are."""
_BAND_PIXELS = 4_000_000
"""Pixels that are converted at a time: Pillow makes several copies."""
_WARNINGS = threading.Lock()  # catch_warnings changes the whole process


@dataclass(frozen=True)
class Probe:
    """What one small decode says of an image: its size upright, whether it is grey, and `top`, the largest value of one
    with 16 bits a channel (of colours, which Pillow reads as 8, the largest that it can be); None: 8 bits."""

    width: int
    height: int
    grey: bool
    top: int | None = None


def decode(
    source: bytes | Path,
    mode: str,
    *,
    at_least_px: int | None = None,
    exact: bool = False,
    on_deep: Callable[[int], None] | None = None,
) -> NDArray[np.uint8]:
    """uint8 (h, w, c), upright; c = 1 for mode "L", 3 for "RGB".

    `at_least_px`: a JPEG may be decoded at 1/2, 1/4 or 1/8, the smallest with both sides ≥ this; `exact` forbids it.
    `on_deep` is called for an image of 16 bits a channel, with its largest value, as Probe.top.
    Raises DataError: a sentence with path and reason for a path, the reason alone (a clause) for bytes.
    """
    if mode not in ("RGB", "L"):
        raise DataError(_("The image mode {mode!r} is unknown. Use RGB or L.", mode=mode))
    at_least_px = None if exact else at_least_px
    try:
        raw = source if isinstance(source, bytes) else read_file(source)
        if watched.is_slow(raw):
            values, pixels = watched.call("decode", raw, mode=mode, at_least_px=at_least_px)
            if on_deep is not None and values["deep"] is not None:
                on_deep(values["deep"])
            if pixels is not None:
                return pixels
        if raw[:3] == b"\xff\xd8\xff":
            check_scans(raw)
            image = decode_fast(raw, mode, at_least_px, MAX_PIXELS)
            if image is not None:
                return oriented(image, orientation(raw))
        return decode_with_pillow(raw, mode, at_least_px, on_deep)
    except DataError as error:
        raise (
            error
            if isinstance(source, bytes)
            else DataError(_("{path} cannot be used: {reason}.", path=source, reason=error.message))
        ) from error


def probe(source: bytes | Path) -> Probe:
    """Size and greyness of an image, decoded (small) to be sure that it can be. Raises DataError, as decode."""
    try:
        raw = source if isinstance(source, bytes) else read_file(source)
        if watched.is_slow(raw):
            return Probe(**watched.call("probe", raw)[0])
        with opened(raw) as image:
            width, height = image.size
            jpeg = image.format in _JPEG
            try:
                grey = _is_grey(image)
                top = _largest(image) if image.mode in _WIDE_MODES else None
                wide_colour = top is None and is_wide_colour(image)
            except BAD_IMAGE as error:
                raise DataError(_reason(image.format, error)) from error
        small = decode(raw, "L" if grey else "RGB", at_least_px=1)
        if not jpeg:
            height, width = small.shape[:2]
        elif orientation(raw) in (5, 6, 7, 8):
            width, height = height, width
        if wide_colour:
            top = int(small.max()) * 256 + 255
        return Probe(width, height, grey, top)
    except DataError as error:
        raise (
            error
            if isinstance(source, bytes)
            else DataError(_("{path} cannot be used: {reason}.", path=source, reason=error.message))
        ) from error


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; a pipe or device is refused without waiting for it. Raises DataError."""
    try:
        return read_regular(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and isinstance(error.strerror, Message):
            raise DataError(error.strerror) from error
        raise DataError(
            _("it cannot be read ({reason})", reason=getattr(error, "strerror", None) or _("its name is not valid"))
        ) from error


def decode_with_pillow(
    raw: bytes, mode: str, at_least_px: int | None = None, on_deep: Callable[[int], None] | None = None
) -> NDArray[np.uint8]:
    """decode's path for everything but common JPEGs, and the reference that the fast path is held to."""
    with opened(raw) as image:
        jpeg = image.format in _JPEG
        wide_colour = image.mode not in _WIDE_MODES and is_wide_colour(image)
        if jpeg:
            width, height = image.size
            scale = scale_for(width, height, at_least_px)
            wanted = "L" if mode == "L" and image.mode == "RGB" else image.mode
            image.draft(wanted, (width // scale, height // scale))
        large = not jpeg and image.width * image.height > RATIO_PIXELS
        try:
            with _LARGE if large else contextlib.nullcontext():
                image.load()
                # TIFF is turned by Pillow while loading, and then says 1
                turn = orientation(raw) if jpeg else image.getexif().get(ORIENTATION_TAG, 1)
                pixels = _converted(image, mode)
            if on_deep is not None and (wide_colour or image.mode in _WIDE_MODES):
                on_deep(int(pixels.max()) * 256 + 255 if wide_colour else _largest(image))
        except BAD_IMAGE as error:
            raise DataError(_reason(image.format, error)) from error
    return oriented(pixels, turn if isinstance(turn, int) and 1 <= turn <= 8 else 1)


def opened(raw: bytes) -> Image.Image:
    """Pillow's image, not decoded yet, of an allowed format and below the cap. Raises DataError."""
    if not raw:
        raise DataError(_("the file is empty"))
    check_scans(raw)
    raw = without_comments(raw)
    try:
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(raw), formats=FORMATS)
    except UnidentifiedImageError as error:
        if (kind := format_of(raw[:HEAD_BYTES])) is not None and kind not in FORMATS:
            raise DataError(unsupported(kind)) from error
        known = ", ".join(FORMATS)
        raise DataError(
            _(
                "it is not an image that plusx reads (it begins with {start}; formats: {known})",
                start=raw[:8].hex(),
                known=known,
            )
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(_("it has more than {most} pixels (make it smaller)", most=MAX_PIXELS)) from error
    except BAD_IMAGE as error:
        raise DataError(_reason(None, error)) from error
    check_pixels(*image.size, MAX_PIXELS)
    one_bit = image.mode == "1" or (image.format == "PNG" and raw[24] == 1)
    check_ratio(*image.size, len(raw), 1 if one_bit else 8)
    return image


def _converted(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    """uint8 (h, w, c), converted band by band."""
    wide_white = image.format in ("PNG", "PPM")
    width, height = image.size
    step = max(1, _BAND_PIXELS // width)
    if height <= step:
        return _converted_band(image, mode, wide_white)
    out = np.empty((height, width, 1 if mode == "L" else 3), np.uint8)
    for top in range(0, height, step):
        band = image.crop((0, top, width, min(height, top + step)))
        out[top : top + step] = _converted_band(band, mode, wide_white)
    return out


def _converted_band(image: Image.Image, mode: str, wide_white: bool) -> NDArray[np.uint8]:
    """`wide_white`: 32-bit integers of this format have 65535 for white."""
    if image.mode in _WIDE_MODES:
        return _from_16_bit(image, mode, wide_white)
    if image.mode in ("F", "LAB", "HSV"):
        raise DataError(
            _("its pixels have mode {mode}, whose range is unknown (save it as 8-bit RGB)", mode=image.mode)
        )
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        seen = image.convert("RGBA")
        paper = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        paper.alpha_composite(seen)
        image = paper.convert("RGB")
    elif image.mode == "P":  # straight to L, Pillow would look up the palette's luma in lower precision
        image = image.convert("RGB")
    array = np.array(image.convert(mode))
    return array if array.ndim == 3 else array[..., None]


def _from_16_bit(image: Image.Image, mode: str, wide_white: bool) -> NDArray[np.uint8]:
    """Pillow may clip I;16 → L at 255; here 65535 becomes 255. 32-bit integers have no known white: refused."""
    wide = np.asarray(image)
    if wide.dtype.itemsize > 2 and not wide_white:
        raise DataError(_("its pixels are 32-bit integers, whose range is unknown (save it with 8 or 16 bits)"))
    grey = ((np.clip(wide, 0, 65535).astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None]
    return grey if mode == "L" else np.repeat(grey, 3, axis=-1)


def is_wide_colour(image: Image.Image) -> bool:
    """Pillow opens 16-bit colour as RGB; only what it tells its decoders, of PPM the highest value, still says so."""
    told: list[object] = []
    for tile in getattr(image, "tile", ()):
        told += tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    high = image.format == "PPM" and any(isinstance(word, int) and word > 255 for word in told)
    return high or any(isinstance(word, str) and ";16" in word for word in told)


def _largest(image: Image.Image) -> int:
    return int(np.clip(np.asarray(image), 0, 65535).max(initial=0))


def _is_grey(image: Image.Image) -> bool:
    if image.mode != "P":
        return image.mode in _GREY_MODES
    colours = np.array(image.getpalette("RGB") or [0, 1, 0], dtype=np.int16).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _reason(kind: str | None, error: BaseException) -> Message:
    named = kind or _("image")
    if isinstance(error, MemoryError):
        return _("the {kind} needs more memory than there is", kind=named)
    if ends_early(error):
        return _("the {kind} is damaged: it ends too early", kind=named)
    return _("the {kind} is damaged or unusual", kind=named)
