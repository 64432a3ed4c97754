"""mixup (Zhang et al. 2018, arXiv 1710.09412) and CutMix (Yun et al. 2019, arXiv 1905.04899), seeded by (seed, step, rank)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plusx.data import K_FREE
from plusx.data.permutation import hashed
from plusx.training.recipe import Recipe


@dataclass(frozen=True)
class Mixed:
    """Images (n, c, h, w), the labels of both images in each, and the first one's share."""

    images: Tensor
    labels: NDArray[np.int64]
    others: NDArray[np.int64]
    share: float

    @property
    def main(self) -> NDArray[np.int64]:
        """The label with the larger share: what a prediction is compared with to count correct ones."""
        return self.labels if self.share >= 0.5 else self.others


def mix(images: Tensor, labels: NDArray[np.int64], recipe: Recipe, seed: int, step: int, rank: int) -> Mixed:
    """The batch, each image mixed with the one before it. What is drawn depends on (seed, step, rank) alone.

    The share is drawn once a batch from Beta(alpha, alpha). With both keys set, every step chooses one of them at random.
    """
    if not (recipe.mixup or recipe.cutmix) or len(labels) < 2:
        return Mixed(images, labels, labels, 1.0)
    draw = np.random.Generator(np.random.Philox(int(hashed(seed, step, rank, K_FREE)[0])))
    cut = bool(recipe.cutmix) and (not recipe.mixup or draw.random() < 0.5)
    alpha = recipe.cutmix if cut else recipe.mixup
    share = float(draw.beta(alpha, alpha))
    others = torch.roll(images, 1, 0)
    if cut:
        h, w = images.shape[2:]
        left, top, right, bottom = box(share, h, w, draw.random(), draw.random())
        images = images.clone()
        images[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        share = 1 - (right - left) * (bottom - top) / (h * w)
    else:
        images = share * images + (1 - share) * others
    return Mixed(images, labels, np.roll(labels, 1), share)


def box(share: float, h: int, w: int, x: float, y: float) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of about 1 - share of the area, its centre at (x · w, y · h), cut to the image.

    >>> box(0.75, 8, 8, 0.5, 0.5), box(0.75, 8, 8, 0.0, 0.0)
    ((2, 2, 6, 6), (0, 0, 2, 2))
    """
    side = np.sqrt(1 - share)
    half_w, half_h = round(w * side) / 2, round(h * side) / 2
    left, right = (int(np.clip(round(x * w + move), 0, w)) for move in (-half_w, half_w))
    top, bottom = (int(np.clip(round(y * h + move), 0, h)) for move in (-half_h, half_h))
    return left, top, right, bottom
