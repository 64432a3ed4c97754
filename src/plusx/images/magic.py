"""The image format of a file, detected from its first bytes; its name is used only where these are inconclusive."""

from __future__ import annotations

from pathlib import Path

from plusx.errors import DataError
from plusx.files import open_regular
from plusx.i18n import Message, _

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm")
)
# images to the eye that are not read: worth a row with its reason, where a README is not
OTHER_SUFFIXES = frozenset((".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".svg", ".raw", ".cr2", ".nef", ".dng"))
# camera raws begin as TIFF does, but the image that a TIFF reader finds in them is a thumbnail
_RAW_SUFFIXES = frozenset((".raw", ".cr2", ".nef", ".dng", ".arw", ".pef", ".srw"))
HEAD_BYTES = 160
"""Enough for every format here; DICOM's mark is at byte 128."""
_STARTS = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL", b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"8BPS": "PSD", b"\x76\x2f\x31\x01": "OpenEXR", b"<svg": "SVG",
}  # fmt: skip
_BRANDS = {
    b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"hevx": "HEIC", b"heim": "HEIC", b"heis": "HEIC",
    b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF",
}  # fmt: skip
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes that the header after BM may have


def format_of(head: bytes) -> str | None:
    """The image format that begins so, read by plusx (one of FORMATS) or not; None: no image.

    >>> format_of(b"GIF89a" + bytes(20)), format_of(b"\\0\\0\\0\\x18ftypheic"), format_of(b"BM is a company")
    ('GIF', 'HEIC', None)
    """
    if (known := next((name for start, name in _STARTS.items() if head.startswith(start)), None)) is not None:
        return known
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n#" and len(head) > 2:
        return "PPM"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return "DICOM" if head[128:132] == b"DICM" else None


def unsupported(name: str) -> Message:
    """Why an image of a known format is skipped."""
    return _("{format} is a format that plusx does not read (convert it to JPEG or PNG)", format=name)


def head_status(head: bytes, suffix: str) -> Message | str | None:
    """Of a file that begins so: "" for an image to be read, the reason for one that cannot be, None for no image.

    `suffix` (".heic", lower case) counts for raws, and where the bytes say nothing.

    >>> head_status(b"\\xff\\xd8\\xff", ".heic"), head_status(b"hello", ".txt"), head_status(b"II*\\0", ".dng")
    ('', None, 'DNG is a format that plusx does not read (convert it to JPEG or PNG)')
    """
    kind = format_of(head)
    if kind in FORMATS and not (kind == "TIFF" and suffix in _RAW_SUFFIXES):
        return ""
    if kind is not None and kind not in FORMATS:
        return unsupported(kind)
    if suffix in OTHER_SUFFIXES or kind is not None:
        return unsupported(suffix[1:].upper())
    return "" if suffix in SUFFIXES else None


def read_head(path: Path | str) -> bytes:
    """The first bytes of a regular file; a pipe is not waited for. Raises DataError, without the path."""
    try:
        with open_regular(path) as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and isinstance(error.strerror, Message):
            raise DataError(error.strerror) from error
        raise DataError(
            _("it cannot be read ({reason})", reason=getattr(error, "strerror", None) or _("its name is not valid"))
        ) from error
