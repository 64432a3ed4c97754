"""Damaged images by number: mutant i of a seed is the same bytes everywhere, so a crash can be looked at again."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
from PIL import Image

Change = Callable[[bytearray, random.Random], bytearray]


def whole_images() -> dict[str, bytes]:
    """One small image of every format that plusx reads, and of the kinds that take other paths through decoders."""
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize(
        (64, 48), Image.Resampling.BICUBIC
    )
    grey, palette = coarse.convert("L"), coarse.quantize(16)
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    see_through = coarse.convert("RGBA")
    see_through.putalpha(grey)
    turned = Image.Exif()
    turned[0x0112] = 6
    several = ("cameras.jpg", "moving.png", "moving.webp", "pages.tiff", "moving.gif")
    made: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "baseline.jpg": (coarse, "JPEG", {"quality": 90}),
        "progressive.jpg": (coarse, "JPEG", {"progressive": True}),
        "restarts.jpg": (coarse, "JPEG", {"restart_marker_blocks": 2}),
        "444.jpg": (coarse, "JPEG", {"subsampling": 0}),
        "grey.jpg": (grey, "JPEG", {}),
        "cmyk.jpg": (coarse.convert("CMYK"), "JPEG", {}),
        "turned.jpg": (coarse, "JPEG", {"exif": turned}),
        "cameras.jpg": (coarse, "MPO", {}),
        "rgb.png": (coarse, "PNG", {}),
        "wide.png": (wide, "PNG", {}),
        "palette.png": (palette, "PNG", {"transparency": 3}),
        "alpha.png": (see_through, "PNG", {}),
        "moving.png": (coarse, "PNG", {}),
        "lossy.webp": (coarse, "WEBP", {}),
        "lossless.webp": (see_through, "WEBP", {"lossless": True}),
        "moving.webp": (coarse, "WEBP", {}),
        "plain.tiff": (coarse, "TIFF", {}),
        "lzw.tiff": (coarse, "TIFF", {"compression": "tiff_lzw"}),
        "deflate.tiff": (coarse, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "jpeg.tiff": (coarse, "TIFF", {"compression": "jpeg"}),
        "fax.tiff": (coarse.convert("1"), "TIFF", {"compression": "group4"}),
        "wide.tiff": (wide, "TIFF", {}),
        "pages.tiff": (coarse, "TIFF", {}),
        "moving.gif": (coarse, "GIF", {}),
        "rgb.bmp": (coarse, "BMP", {}),
        "palette.bmp": (palette, "BMP", {}),
        "rgb.ppm": (coarse, "PPM", {}),
        "wide.pgm": (wide, "PPM", {}),
        "bits.pbm": (coarse.convert("1"), "PPM", {}),
    }
    found = {}
    for name, (image, kind, options) in made.items():
        out = io.BytesIO()
        more = {"save_all": True, "append_images": [coarse.rotate(90), coarse.rotate(180)]} if name in several else {}
        image.copy().save(out, kind, **options, **more)  # saving leaves settings behind that the next format trips over
        found[name] = out.getvalue()
    return found


def mutant(images: dict[str, bytes], number: int, seed: int = 0) -> tuple[str, bytes]:
    """Name and bytes of one damaged file: of each image in turn, one to ten changes, most of them near its head."""
    draw = random.Random(f"{seed}/{number}")
    name = sorted(images)[number % len(images)]
    raw = bytearray(images[name])
    for _ in range(draw.choice((1, 1, 2, 4, 10))):
        raw = draw.choice(CHANGES)(raw, draw)
    if draw.random() < 0.1:
        raw = spliced(raw, images[draw.choice(sorted(images))], draw)
    return f"{number:06d}-{name}", bytes(raw)


def place(raw: bytearray, draw: random.Random) -> int:
    """Headers are a small part of a file and most of its meaning."""
    return draw.randrange(max(1, min(len(raw), draw.choice((32, 300, len(raw))))))


def flip(raw: bytearray, draw: random.Random) -> bytearray:
    if raw:
        raw[place(raw, draw) % len(raw)] ^= 1 << draw.randrange(8)
    return raw


def overwrite(raw: bytearray, draw: random.Random) -> bytearray:
    """With values at which counters and sizes break."""
    at = place(raw, draw)
    value = draw.choice((b"\x00", b"\xff", b"\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", draw.randbytes(4)))
    raw[at : at + len(value)] = value
    return raw


def insert(raw: bytearray, draw: random.Random) -> bytearray:
    at = place(raw, draw)
    raw[at:at] = draw.randbytes(draw.randrange(1, 20))
    return raw


def remove(raw: bytearray, draw: random.Random) -> bytearray:
    at = place(raw, draw)
    del raw[at : at + draw.randrange(1, 20)]
    return raw


def repeat(raw: bytearray, draw: random.Random) -> bytearray:
    """A stretch twice, as a stream that was resumed wrongly."""
    at = place(raw, draw)
    part = raw[at : at + draw.randrange(1, 200)]
    raw[at:at] = part
    return raw


def truncate(raw: bytearray, draw: random.Random) -> bytearray:
    return raw[: draw.randrange(len(raw) + 1)] if draw.random() < 0.3 else flip(raw, draw)


def spliced(raw: bytearray, other: bytes, draw: random.Random) -> bytearray:
    """The head of one file and the tail of another, maybe of another format."""
    return raw[: draw.randrange(len(raw) + 1)] + other[draw.randrange(len(other)) :]


CHANGES: tuple[Change, ...] = (flip, flip, overwrite, overwrite, insert, remove, repeat, truncate)
