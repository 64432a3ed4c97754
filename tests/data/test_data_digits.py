"""The built-in digits: the right bytes, a split that never changes."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from importlib.resources import files

import numpy as np

from plusx.data import open_data
from plusx.data.dataset import with_mode


def test_the_file_is_the_documented_one():
    raw = gzip.decompress(files("plusx.data").joinpath("digits.gz").read_bytes())
    words = files("plusx.data").joinpath("digits.md").read_text(encoding="utf-8")
    assert hashlib.sha256(raw).hexdigest() in words and "CC BY 4.0" in words and f"{len(raw):,}" in words


def test_against_figures_of_the_source():
    """Sums of scikit-learn's load_digits(): 1,797 images, class counts, and the first image's rows."""
    splits = open_data("digits")
    counts = splits.train.counts() + splits.val.counts()
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (len(splits.train), len(splits.val), splits.size_px) == (1438, 359, 8)
    where = {name: part for part in (splits.train, splits.val) for name in part.names}
    part = where["digits/0000"]
    i = list(part.names).index("digits/0000")
    row = np.floor(np.array([0, 0, 5, 13, 9, 1, 0, 0]) * 255 / 16 + 0.5)
    assert part.read(i)[0, :, 0].tolist() == row.tolist() and part.labels[i] == 0
    pixels = np.concatenate([splits.train.images, splits.val.images])
    assert sorted(set(pixels.ravel().tolist())) == [int(v * 255 / 16 + 0.5) for v in range(17)]


def test_the_split_is_fixed_stratified_and_disjoint():
    a, b = open_data("digits", seed=1), open_data("digits", val_split=0.5, seed=2)
    assert a.val.names == b.val.names and a.val.fingerprint == b.val.fingerprint
    assert not set(a.train.names) & set(a.val.names)
    assert a.val.counts().tolist() == [int(0.2 * n + 0.5) for n in (a.val.counts() + a.train.counts())]
    assert hashlib.sha256("\n".join(a.val.names).encode()).hexdigest()[:16] == "eb9202240d900844"


def test_it_reads_in_both_modes_and_goes_to_a_worker():
    train = open_data("digits").train
    again = pickle.loads(pickle.dumps(train))
    assert train.mode == "L" and train.read(3).shape == (8, 8, 1) and train.read(3, "RGB").shape == (8, 8, 3)
    assert np.array_equal(again.read(3), train.read(3)) and again.fingerprint == train.fingerprint


def test_luma_is_pillows():
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(with_mode(pixels, "L")[..., 0], np.asarray(Image.fromarray(pixels).convert("L")))


def test_fingerprints_tell_parts_and_changes_apart():
    train = open_data("digits").train
    marks = {train.fingerprint, open_data("digits").val.fingerprint}
    marks |= {train.subset(np.arange(10)).fingerprint, train.subset(np.arange(10)[::-1]).fingerprint}
    assert len(marks) == 4
