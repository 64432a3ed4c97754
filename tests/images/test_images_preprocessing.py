"""Resize, crop, normalise: against Pillow and torchvision themselves."""

from __future__ import annotations

import json
from typing import cast

import numpy as np
import pytest
from PIL import Image

from plusx.errors import DataError
from plusx.images import Preprocessing, centre_crop, normalise, resize_box, resize_crop
from plusx.images.preprocessing import Interpolation


def image(h: int, w: int, c: int = 3) -> np.ndarray:
    rng = np.random.default_rng(h * 1000 + w)
    rough = rng.integers(0, 256, (max(h // 7, 2), max(w // 7, 2), 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(rough).resize((w, h), Image.BILINEAR))
    return np.ascontiguousarray(pixels[..., :c])


SIZES = [(120, 160), (161, 90), (64, 64), (33, 200), (300, 257)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("resize", "crop"), [(64, 56), (64, 64), (32, None), (None, 48), (256, 224), (40, 64)])
def test_resize_crop_is_resize_then_crop(size, resize, crop):
    """Only the kept part is resampled; Pillow's whole resize, cut by hand, is the reference."""
    before = image(*size)
    h, w = size
    if resize:
        short = min(size)
        h, w = (resize if side == short else int(resize * side / short) for side in size)
    whole = np.asarray(Image.fromarray(before).resize((w, h), Image.BILINEAR))
    if crop:
        low = [max(crop - side, 0) for side in (h, w)]
        whole = np.pad(whole, ((low[0] // 2, low[0] - low[0] // 2), (low[1] // 2, low[1] - low[1] // 2), (0, 0)))
        top, left = (round((side - crop) / 2) for side in whole.shape[:2])
        whole = whole[top : top + crop, left : left + crop]
    after = resize_crop(before, Preprocessing("RGB", resize, crop))
    assert after.shape == whole.shape
    assert np.abs(after.astype(int) - whole).max() <= 1


@pytest.mark.parity
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resize_crop_is_torchvisions(interpolation):
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for size in SIZES:
        for resize, crop in [(64, 56), (256, 224), (40, 64)]:
            kernel = v2.InterpolationMode(interpolation)
            theirs = v2.CenterCrop(crop)(v2.Resize(resize, interpolation=kernel)(Image.fromarray(image(*size))))
            ours = resize_crop(image(*size), Preprocessing("RGB", resize, crop, cast("Interpolation", interpolation)))
            off = np.abs(ours.astype(int) - np.asarray(theirs))
            # Pillow may pass over rows before columns for a box; bicubic overshoot is clipped in between
            assert off.max() <= (1 if interpolation == "bilinear" else 12)
            assert (off > 1).mean() < 1e-3


def test_grey_images_keep_one_channel():
    grey = image(50, 70, 1)
    after = resize_crop(grey, Preprocessing("L", 32, 28, mean=(0.5,), std=(0.5,)))
    assert after.shape == (28, 28, 1)
    assert resize_box(grey, (10, 5, 40, 35), (8, 9), "bicubic").shape == (8, 9, 1)
    assert centre_crop(grey, 80).shape == (80, 80, 1)


def test_resize_box_is_pillows():
    before = image(90, 120)
    box = (10, 20, 75, 63)
    theirs = np.asarray(Image.fromarray(before).resize((32, 24), Image.BICUBIC, box=box))
    assert np.array_equal(resize_box(before, box, (24, 32), "bicubic"), theirs)
    assert resize_box(before, (0, 0, 120, 90), (90, 120)) is before


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_only_what_the_filters_reach_is_copied(interpolation, monkeypatch):
    """Boxes anywhere, enlarging and shrinking: Pillow's resize of the whole image, of which it is given a part."""
    draw, given = np.random.default_rng(0), []
    real = Image.fromarray
    kernel = Image.BICUBIC if interpolation == "bicubic" else Image.BILINEAR
    monkeypatch.setattr(Image, "fromarray", lambda a: given.append(a.shape[:2]) or real(a))
    for _ in range(300):
        h, w = (int(side) for side in draw.integers(1, 260, 2))
        before = draw.integers(0, 256, (h, w, 3), dtype=np.uint8)
        left, right = np.sort(draw.uniform(0, w, 2)) if w > 4 else (0, w)
        top, bottom = np.sort(draw.uniform(0, h, 2)) if h > 4 else (0, h)
        box = (float(left), float(top), float(max(right, left + 0.5)), float(max(bottom, top + 0.5)))
        box = (min(box[0], w - 0.5), min(box[1], h - 0.5), min(box[2], w), min(box[3], h))
        size = tuple(int(side) for side in draw.integers(1, 120, 2))
        theirs = np.asarray(real(before).resize((size[1], size[0]), kernel, box=box)).astype(int)
        off = np.abs(resize_box(before, box, size, interpolation) - theirs)
        assert off.max() <= (1 if interpolation == "bilinear" else 0), (h, w, box, size)
    wide = np.zeros((300, 1200, 3), np.uint8)
    resize_crop(wide, Preprocessing("RGB", 256, 224))
    assert given[-1][0] * given[-1][1] < 0.3 * 300 * 1200, "the whole was copied"


def test_normalise_is_the_formula_in_float64():
    batch = np.stack([image(9, 7), image(9, 7)[::-1]])
    pre = Preprocessing("RGB", None, None)
    out = normalise(batch, pre)
    expected = (batch.astype(np.float64) / 255 - np.array(pre.mean)) / np.array(pre.std)
    assert out.dtype == np.float32 and out.shape == (2, 3, 9, 7) and out.flags.c_contiguous
    assert np.abs(out - expected.transpose(0, 3, 1, 2)).max() < 5e-7
    with pytest.raises(DataError, match="uint8"):
        normalise(batch.astype(np.float32), pre)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match=r"\(n, h, w, 3\)"):
        normalise(batch[..., :1], pre)


def test_it_goes_through_json():
    pre = Preprocessing("L", 256, 224, "bicubic", 1 / 255, (0.1,), (0.2,))
    assert Preprocessing.from_dict(json.loads(json.dumps(pre.to_dict()))) == pre
    assert list(pre.to_dict()) == ["mode", "resize_px", "crop_px", "interpolation", "scale", "mean", "std"]


@pytest.mark.parametrize(
    "change",
    [{"mode": "CMYK"}, {"interpolation": "nearest"}, {"resize_px": 0}, {"mean": [0.1]}, {"std": [0, 1, 1]},
     {"scale": float("nan")}, {"crop_px": 10**6}],
)  # fmt: skip
def test_values_that_cannot_be(change):
    with pytest.raises(DataError):
        Preprocessing.from_dict({**Preprocessing("RGB", 256, 224).to_dict(), **change})
    with pytest.raises(TypeError):
        Preprocessing.from_dict({**Preprocessing("RGB", 256, 224).to_dict(), "sharpen": 1})
