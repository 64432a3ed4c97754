"""What a file may ask for, read from its headers before anything is decoded: time and memory stay in proportion to the file."""

from __future__ import annotations

import re

from plusx.errors import DataError
from plusx.i18n import _

MAX_SCANS = 100
"""Of a JPEG. An encoder writes about ten. Each costs a pass over all pixels, and may take no more than 20 bytes."""
MAX_SEGMENTS = 10_000
"""Headers of a JPEG, before and between its scans; a colour profile takes 255 at most, extended XMP one for each 64 kB."""
MAX_HEADER_BYTES = 1 << 16
"""Of a PNM file, comments included."""
MAX_RATIO, RATIO_PIXELS = 4096, 16_000_000
"""Pixels a byte, of images above so many pixels. Deflate gives 1032 for blank 8-bit PNGs, a blank JPEG 300 (both measured)."""
QUICK_JPEG_BYTES, QUICK_BYTES = 64 << 20, 8 << 20
"""Files up to this size, JPEGs and others, are decoded within seconds. Measured on one core, in seconds a megabyte: 0.03 for
JPEG after the checks above; elsewhere at most 0.7 (TIFF with one row a strip; PNG of empty chunks 0.2); 3 for 89 million pixels."""
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_PNM = re.compile(rb"P[1-6](?:\s|#[^\r\n]*[\r\n])")
_COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")


def check_scans(raw: bytes) -> None:
    """Raises DataError for a JPEG with more scans or headers than an encoder writes."""
    if raw.count(b"\xff\xda") <= MAX_SCANS:  # those inside of headers and thumbnails count too, so there are no more
        return
    at, scans = 2, 0
    for _segment in range(MAX_SEGMENTS):
        found = _MARKER.search(raw, at)
        if found is None or found[0] == b"\xff\xd9":
            return
        at = found.end()
        if found[0] == b"\xff\xda":
            scans += 1
            if scans > MAX_SCANS:
                raise DataError(
                    _("it has more than {most} scans, so decoding would take long (save it again)", most=MAX_SCANS)
                )
        if found[0][1] not in (0x01, 0xD8):  # these two have no length
            at += max(2, int.from_bytes(raw[at : at + 2], "big"))
    raise DataError(
        _("it has more than {most} headers, so decoding would take long (save it again)", most=MAX_SEGMENTS)
    )


def check_ratio(width: int, height: int, size: int, bits: int) -> None:
    """Raises DataError for a large image in a file too small to hold one; `bits` is 1 for a bilevel image, which may be blank."""
    if bits > 1 and width * height > max(RATIO_PIXELS, MAX_RATIO * size):
        raise DataError(
            _(
                "it has {width} x {height} pixels in only {size} bytes, so it is blank or made to fill the memory "
                "(make it smaller)",
                width=width, height=height, size=size,
            )
        )  # fmt: skip


def without_comments(raw: bytes) -> bytes:
    """A PNM file without its comments, for which Pillow takes time in proportion to their number squared.

    Binary pixels are not touched: there, comments end with the header. Raises DataError for a header without end.
    """
    if not _PNM.match(raw):
        return raw
    if raw[1:2] in b"123":
        return _COMMENT.sub(b"\n", raw)
    at, fields = 2, 0
    wanted = 2 if raw[1:2] == b"4" else 3
    header = raw[:MAX_HEADER_BYTES]
    pattern = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)")
    values: list[bytes] = []
    while fields < wanted and (found := pattern.match(header, at)):
        values.append(found[1])
        at, fields = found.end(), fields + 1
    if fields < wanted:
        raise DataError(_("its header does not end within {most} bytes", most=MAX_HEADER_BYTES))
    if b"#" not in header[: at + 1]:
        return raw
    return raw[:2] + b"\n" + b" ".join(values) + raw[at:]
