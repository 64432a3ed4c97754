"""Crops, flips, shifts and erasing: right pixels, right laws, and nothing but counters behind them."""

from __future__ import annotations

import numpy as np
import pytest

from plusx.data import crop_box, crop_draws, erase, erase_boxes, flip, flips, shift, shifts

AT = np.arange(4000)


def batch(n: int = 6, h: int = 9, w: int = 11, c: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (n, h, w, c), dtype=np.uint8)


def crop_boxes(seed: int, epoch: int, at: object, h: int, w: int, **keys: object) -> np.ndarray:
    return np.array([crop_box(draws, h, w, **keys) for draws in crop_draws(seed, epoch, at)])  # type: ignore[arg-type]


def test_a_sample_looks_the_same_in_any_batch():
    few = np.array([17, 3999, 0])
    for choose in (
        lambda p: flips(1, 2, p),
        lambda p: shifts(1, 2, p, 4),
        lambda p: crop_boxes(1, 2, p, 100, 150),
        lambda p: erase_boxes(1, 2, p, 32, 32),
    ):
        assert np.array_equal(choose(AT)[few], choose(few))
        assert np.array_equal(choose(AT)[[5]], choose(5))


def test_choices_are_independent_of_each_other():
    rows = np.stack(
        [flips(0, 0, AT), *shifts(0, 0, AT, 4).T, *crop_boxes(0, 0, AT, 900, 900)[:, :2].T,
         *erase_boxes(0, 0, AT, 900, 900, share=1)[:, :2].T]
    ).astype(float)  # fmt: skip
    table = np.corrcoef(rows)
    # the two corners of one box share its size; everything else is free
    for i, j in [(3, 4), (5, 6)]:
        table[i, j] = table[j, i] = 0
    assert np.abs(table - np.eye(len(rows))).max() < 5 / np.sqrt(len(AT))


def test_flip():
    images = batch()
    chosen = np.array([True, False, True, False, False, True])
    out = flip(images, chosen)
    for i, mirrored in enumerate(chosen):
        assert np.array_equal(out[i], images[i][:, ::-1] if mirrored else images[i])
    assert abs(flips(0, 0, AT).mean() - 0.5) < 0.04 and not flips(0, 0, AT, 0).any() and flips(0, 0, AT, 1).all()


def test_shift_is_pad_and_crop():
    images = batch()
    starts = shifts(0, 0, np.arange(6), 2)
    out = shift(images, starts, 2)
    for i, (top, left) in enumerate(starts):
        padded = np.pad(images[i], ((2, 2), (2, 2), (0, 0)))
        assert np.array_equal(out[i], padded[top : top + 9, left : left + 11])
    counts = np.bincount(shifts(0, 0, AT, 2)[:, 0], minlength=5)
    assert len(counts) == 5 and ((counts - 800) ** 2 / 800).sum() < 24
    assert np.array_equal(shift(images, np.full((6, 2), 2), 2), images)
    assert shift(images, starts, 0) is images


@pytest.mark.parametrize(("h", "w"), [(100, 150), (375, 500), (1, 1), (1, 400), (400, 1), (2, 3)])
def test_crop_boxes_lie_inside(h, w):
    left, top, right, bottom = crop_boxes(0, 0, AT, h, w).T
    assert (left >= 0).all() and (top >= 0).all() and (right <= w).all() and (bottom <= h).all()
    assert (right > left).all() and (bottom > top).all()


def test_crop_boxes_follow_their_law():
    left, top, right, bottom = crop_boxes(0, 0, np.arange(20000), 2000, 2000, scale=(0.1, 0.5)).T
    area = (right - left) * (bottom - top) / 2000**2
    aspect = np.log((right - left) / (bottom - top))
    assert abs(area.mean() - 0.3) < 0.005 and area.min() > 0.099 and area.max() < 0.501
    assert abs(area.var() - 0.4**2 / 12) < 0.0005
    assert abs(aspect.mean()) < 0.01 and aspect.min() > np.log(3 / 4) - 0.01 and aspect.max() < np.log(4 / 3) + 0.01
    assert abs((left + right).mean() - 2000) < 15 and abs((top + bottom).mean() - 2000) < 15


def test_crop_boxes_are_torchvisions_in_distribution():
    transforms = pytest.importorskip("torchvision.transforms")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    image = torch.zeros(1, 200, 300)
    get = transforms.RandomResizedCrop.get_params
    theirs = np.array([get(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(3000)])  # top, left, h, w
    left, top, right, bottom = crop_boxes(0, 0, AT, 200, 300).T
    for a, b in zip(theirs.T, (top, left, bottom - top, right - left), strict=True):
        spread = np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert abs(a.mean() - b.mean()) < 4.5 * spread
        assert abs(a.std() / b.std() - 1) < 0.08


def test_narrow_images_fall_back_to_the_centre():
    boxes = crop_boxes(0, 0, np.arange(50), 10, 1000, scale=(0.9, 1.0))
    assert (boxes == [494, 0, 507, 10]).all() or (boxes == [493, 0, 506, 10]).all()


def test_erase():
    images = batch()
    boxes = np.array([[0, 0, 0, 0], [2, 3, 5, 7], [0, 0, 11, 9], [10, 8, 11, 9], [0, 0, 0, 0], [4, 0, 6, 9]])
    out = erase(images, boxes, fill=(0, 0, 7))
    for i, (left, top, right, bottom) in enumerate(boxes):
        expected = images[i].copy()
        expected[top:bottom, left:right] = (0, 0, 7)
        assert np.array_equal(out[i], expected)
    drawn = erase_boxes(0, 0, AT, 32, 48, share=0.25)
    empty = (drawn == 0).all(axis=1)
    assert abs(empty.mean() - 0.75) < 0.04
    left, top, right, bottom = drawn[~empty].T
    assert (left >= 0).all() and (right <= 48).all() and (bottom <= 32).all() and (right > left).all()
