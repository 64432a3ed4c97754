"""One decode: every format, every oddity, one line for what cannot be, and a fast path that agrees with Pillow's."""

from __future__ import annotations

import io
import os
import random
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from plusx.errors import DataError
from plusx.images import MAX_PIXELS, decode, probe
from plusx.images.decode import decode_with_pillow
from plusx.images.jpeg import TOLERANCE, decode_fast, orientation, scale_for

# libjpeg-turbo stands under both; wheels may carry different builds of it (equal, bit for bit, where this was written)
LEVELS = 2


def photo(width: int = 160, height: int = 120, seed: int = 0) -> Image.Image:
    """Smooth colour fields, edges and noise: what a photograph does to a codec."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    pixels = np.asarray(coarse).astype(np.int16) + rng.normal(0, 6, (height, width, 3)).astype(np.int16)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (200, 30, 60)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def far(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("size", [(160, 120), (447, 301), (33, 47), (17, 16), (7, 9), (401, 5), (1, 1)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_fast_path_agrees_with_pillow(size, subsampling, progressive):
    for colour in ("RGB", "L"):
        image = photo(*size).convert(colour)
        raw = encoded(image, "JPEG", quality=88, subsampling=subsampling, progressive=progressive)
        for mode in ("RGB", "L"):
            for at_least in (None, 1, 16, 60, 120):
                fast = decode_fast(raw, mode, at_least, MAX_PIXELS)
                assert fast is not None, "the fast path passed a plain JPEG on"
                assert far(fast, decode_with_pillow(raw, mode, at_least)) <= LEVELS


@pytest.mark.parametrize(("kind", "options"), [("CMYK", {}), ("RGB", {"keep_rgb": True})])
def test_odd_colour_spaces_go_to_pillow_and_keep_their_colours(kind, options):
    image = photo()
    raw = encoded(image.convert(kind), "JPEG", quality=95, **options)
    assert decode_fast(raw, "RGB", None, MAX_PIXELS) is None
    assert np.abs(decode(raw, "RGB").astype(int) - np.asarray(image)).mean() < 6
    assert decode(raw, "RGB", at_least_px=60).shape == (60, 80, 3)


def jpegs_of_every_kind() -> dict[str, bytes]:
    turned = Image.Exif()
    turned[0x0112] = 8
    return {
        "baseline": encoded(photo(), "JPEG", quality=90),
        "progressive": encoded(photo(), "JPEG", progressive=True),
        "restart markers": encoded(photo(), "JPEG", restart_marker_blocks=3),
        "optimised, 4:4:4": encoded(photo(), "JPEG", optimize=True, subsampling=0),
        "grey": encoded(photo().convert("L"), "JPEG"),
        "grey, odd": encoded(photo(161, 121).convert("L"), "JPEG", progressive=True),
        "odd": encoded(photo(163, 117), "JPEG", subsampling=2),
        "narrow": encoded(photo(400, 17), "JPEG"),
        "CMYK": encoded(photo().convert("CMYK"), "JPEG"),
        "RGB": encoded(photo(), "JPEG", keep_rgb=True),
        "turned": encoded(photo(161, 120), "JPEG", exif=turned),
        "turned, progressive, odd": encoded(photo(155, 99), "JPEG", exif=turned, progressive=True),
        "camera": encoded(photo(), "MPO", save_all=True, append_images=[photo(seed=2)]),
    }


@pytest.mark.parametrize("kind", jpegs_of_every_kind())
@pytest.mark.parametrize(("at_least", "scale"), [(None, 1), (50, 2), (25, 4)])
def test_decode_is_within_the_stated_tolerance_of_pillow(kind, at_least, scale):
    """Pillow used by hand is the reference: draft, load, turn, convert."""
    raw = jpegs_of_every_kind()[kind]
    for mode in ("RGB", "L"):
        with Image.open(io.BytesIO(raw)) as image:
            by = scale if -(-min(image.size) // scale) >= (at_least or 0) else 1
            image.draft("L" if mode == "L" and image.mode == "RGB" else image.mode, [side // by for side in image.size])
            want = np.asarray(ImageOps.exif_transpose(image).convert(mode))
        got = decode(raw, mode, at_least_px=at_least)
        assert far(got, want if want.ndim == 3 else want[..., None]) <= LEVELS == TOLERANCE, (mode, got.shape)


def test_a_decoder_that_is_three_levels_off_would_be_seen(monkeypatch):
    """Negative control: simplejpeg's quicker transform and upsampling, which are not used because they are."""
    import simplejpeg

    raw = jpegs_of_every_kind()["baseline"]
    quick = simplejpeg.decode_jpeg(raw, "RGB", fastdct=True, fastupsample=True)
    assert far(quick, decode_with_pillow(raw, "RGB")) > LEVELS


def test_scales_are_the_smallest_that_keep_both_sides():
    for width, height, target in [(1600, 1200, 256), (640, 427, 224), (447, 447, 224), (449, 1000, 225), (90, 70, 64)]:
        scale = scale_for(width, height, target)
        sides = [-(-side // scale) for side in (width, height)]
        assert scale == 1 or min(sides) >= target
        assert scale == 8 or -(-min(width, height) // (2 * scale)) < target
        raw = encoded(photo(width, height), "JPEG")
        assert decode(raw, "RGB", at_least_px=target).shape == (sides[1], sides[0], 3)
        assert decode(raw, "RGB", at_least_px=target, exact=True).shape == (height, width, 3)


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(value, kind):
    exif = Image.Exif()
    exif[0x0112] = value
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    raw = encoded(photo(64, 48), kind, exif=exif, **options)
    with Image.open(io.BytesIO(raw)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert far(decode(raw, "RGB"), upright) <= (LEVELS if kind == "JPEG" else 0)
    assert (probe(raw).height, probe(raw).width) == upright.shape[:2]
    if kind == "JPEG":
        assert orientation(raw) == value
        scaled = decode(raw, "RGB", at_least_px=24)
        assert scaled.shape[:2] == tuple(side // 2 for side in upright.shape[:2])


def test_16_bit_grey_keeps_its_range():
    ramp = np.linspace(0, 65535, 256 * 4).reshape(4, 256).astype(np.uint16)
    expected = np.rint(ramp / 257).astype(np.uint8)
    for kind in ("PNG", "TIFF", "PPM"):
        raw = encoded(Image.fromarray(ramp), kind)
        assert np.array_equal(decode(raw, "L")[..., 0], expected), kind
        assert np.array_equal(decode(raw, "RGB"), np.repeat(expected[..., None], 3, axis=2)), kind
        assert probe(raw).grey


def test_alpha_lies_over_white():
    image = photo(20, 10).convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 10, axis=0).repeat(10, axis=1)))
    seen = decode(encoded(image, "PNG"), "RGB")
    assert (seen[:, :10] == 255).all()
    assert np.array_equal(seen[:, 10:], np.asarray(image)[:, 10:, :3])
    palette = photo(20, 10).quantize(8)
    see_through = encoded(palette, "PNG", transparency=int(np.asarray(palette)[0, 0]))
    assert (decode(see_through, "RGB")[0, 0] == 255).all()


def test_palettes_animations_and_many_pages_give_their_first_image():
    first, second = photo(seed=1), photo(seed=2)
    for kind in ("GIF", "TIFF", "WEBP", "MPO"):
        raw = encoded(first, kind, save_all=True, append_images=[second])
        near = np.abs(decode(raw, "RGB").astype(int) - np.asarray(first)).mean()
        assert near < np.abs(decode(raw, "RGB").astype(int) - np.asarray(second)).mean() / 3, kind
    assert probe(encoded(first.convert("L").convert("P"), "PNG")).grey
    assert not probe(encoded(first.convert("P"), "PNG")).grey
    for mode in ("1", "L", "LA"):
        assert probe(encoded(first.convert(mode), "PNG")).grey


def test_a_cameras_mpo_is_scaled_on_both_paths():
    raw = encoded(photo(), "MPO", save_all=True, append_images=[photo(seed=2)])
    assert decode(raw, "RGB", at_least_px=60).shape == decode_with_pillow(raw, "RGB", 60).shape == (60, 80, 3)


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    raw = bytearray(encoded(photo(), "JPEG"))
    at = raw.find(b"\xff\xc0")
    raw[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(raw)


@pytest.mark.parametrize("make", [png_of, jpeg_of])
@pytest.mark.parametrize("side", [10_000, 50_000])
def test_bombs_are_refused_before_they_are_unpacked(make, side, recwarn):
    begin = time.process_time()
    for mode in ("RGB", "L"):
        with pytest.raises(DataError, match=str(MAX_PIXELS)):
            decode(make(side, side), mode, at_least_px=32)
    assert time.process_time() - begin < 5  # decoding it would take minutes
    assert not recwarn.list


def bad_files() -> dict[str, tuple[bytes, str]]:
    jpeg = encoded(photo(), "JPEG", quality=90)
    torn = bytearray(jpeg)
    torn[len(torn) // 2 : len(torn) // 2 + 30] = b"\xff\xd9" * 15  # an end marker where rows are still to come
    progressive = encoded(photo(), "JPEG", quality=90, progressive=True)
    png = encoded(photo(), "PNG")
    return {
        "empty": (b"", "the file is empty"),
        "text": (b"not an image at all", "not an image that plusx reads"),
        "three bytes of JPEG": (jpeg[:3], "not an image"),
        "JPEG header": (jpeg[:100], "damaged"),
        "half a JPEG": (jpeg[: len(jpeg) // 2], "the JPEG is damaged"),
        "half a progressive JPEG": (progressive[: len(progressive) // 2], "the JPEG is damaged"),
        "torn JPEG": (bytes(torn), "damaged"),
        "half a PNG": (png[: len(png) // 2], "damaged"),
        "flipped PNG": (png[:500] + bytes([png[500] ^ 1]) + png[501:], "damaged"),
        "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "formats: JPEG"),
        "ICO": (encoded(photo(), "ICO"), "formats: JPEG"),
        "float TIFF": (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "range is unknown"),
        "32-bit TIFF": (encoded(Image.fromarray(np.ones((4, 4), np.int32)), "TIFF"), "range is unknown"),
        "Lab": (encoded(photo().convert("LAB"), "TIFF"), "range is unknown"),
    }


@pytest.mark.parametrize("name", bad_files())
def test_bad_files_have_one_line(name, tmp_path):
    raw, reason = bad_files()[name]
    path = tmp_path / "x.jpg"
    path.write_bytes(raw)
    for source in (raw, path):
        for read in (lambda s: decode(s, "RGB"), lambda s: decode(s, "L", at_least_px=16), probe):
            with pytest.raises(DataError, match=reason) as caught:
                read(source)
            assert "\n" not in str(caught.value)
            assert str(path) in str(caught.value) or isinstance(source, bytes)


def test_a_wrong_extension_and_trailing_bytes_are_no_fault(tmp_path):
    path = tmp_path / "really.png"
    path.write_bytes(encoded(photo(), "JPEG") + b"PK\x03\x04 a zip behind an image")
    assert decode(path, "RGB").shape == (120, 160, 3)


def test_a_pipe_a_folder_and_nothing_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in [("pipe.jpg", "regular"), ("folder.jpg", "regular|directory"), ("none.jpg", "No such file")]:
        with pytest.raises(DataError, match=reason):
            decode(tmp_path / name, "RGB")
    with pytest.raises(DataError, match="mode 'CMYK'"):
        decode(b"", "CMYK")


def mutated(count: int, seed: int) -> None:
    rng = random.Random(seed)
    see_through = photo(80, 60).convert("RGBA")
    see_through.putalpha(90)
    seeds = [encoded(photo(80, 60), kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM")]
    seeds += [encoded(photo(80, 60), "JPEG", progressive=True), encoded(photo(80, 60).convert("CMYK"), "JPEG")]
    seeds += [encoded(photo(80, 60).convert("P"), "PNG"), encoded(see_through, "PNG")]
    good = 0
    for _ in range(count):
        raw = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 3, 10))):
            at = rng.randrange(min(len(raw), rng.choice((64, 400, len(raw)))))
            if rng.random() < 0.8:
                raw[at] = rng.randrange(256)
            else:
                del raw[at : at + rng.randrange(1, 9)]
        begin = time.process_time()
        try:
            assert decode(bytes(raw), rng.choice(("RGB", "L")), at_least_px=rng.choice((None, 32))).dtype == np.uint8
            probe(bytes(raw))
            good += 1
        except DataError as error:
            assert "\n" not in str(error)
        assert time.process_time() - begin < 5
    assert 0 < good < count


def test_mutated_images_give_a_image_or_one_line():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd TIFF tags
        mutated(400, seed=0)


@pytest.mark.slow
def test_many_mutated_images():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mutated(6000, seed=1)


def test_nothing_else_opens_images():
    import plusx

    room = Path(plusx.__file__).parent
    for path in room.rglob("*.py"):
        if path.parent.name != "images":
            assert "Image.open" not in path.read_text(encoding="utf-8"), path
