"""The 1,797 scanned digits of UCI's "Optical Recognition of Handwritten Digits", 8 x 8, grey (see digits.md)."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files

import numpy as np

from plusx.data.dataset import Data, Splits, fingerprint
from plusx.data.idx import parse_idx
from plusx.data.permutation import permutation

CLASSES = tuple("0123456789")
_HELD_OUT = 0.2  # of each class, rounded to the nearest image


@cache
def digits() -> Splits:
    """The fixed stratified 80/20 split: 1,438 for training and 359 held out, whatever the seed of a run."""
    raw = gzip.decompress(files("plusx.data").joinpath("digits.gz").read_bytes())
    images_at = 8 + 1797
    labels = parse_idx(raw[:images_at], "digits.gz").astype(np.int64)
    images = parse_idx(raw[images_at:], "digits.gz")[..., None]
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        (members,) = np.nonzero(labels == label)
        shuffled = members[permutation(len(members), seed=label, epoch=0)]
        test[shuffled[: int(_HELD_OUT * len(members) + 0.5)]] = True
    names = tuple(f"digits/{i:04d}" for i in range(len(labels)))
    whole = Data("digits", CLASSES, 1, labels, names, fingerprint(images, labels), images)
    return Splits(whole.subset(np.flatnonzero(~test)), whole.subset(np.flatnonzero(test)), size_px=8)
