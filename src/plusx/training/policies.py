"""Augmentation policies made of torchvision's transforms, seeded for each sample by (seed, epoch, position)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from plusx.data import K_FREE
from plusx.data.permutation import hashed
from plusx.errors import MissingExtra
from plusx.i18n import _
from plusx.training.recipe import Policy
from plusx.training.seeds import seeded

K_POLICY = K_FREE + 1
"""Stream of the hashes; the one before is mixing's."""
POLICIES: tuple[str, ...] = tuple(word for word in get_args(Policy) if word != "none")


def apply_policy(
    name: str, images: NDArray[np.uint8], seed: int, epoch: int, positions: ArrayLike, magnitude: int = 9
) -> NDArray[np.uint8]:
    """uint8 (n, h, w, c), each augmented by the policy, seeded by (seed, epoch, position).

    `magnitude` is RandAugment's, of 30.
    transforms.v2 draws from torch's global generator, so the training thread calls this, not the workers. The generator's
    state is restored. Raises MissingExtra without torchvision.
    """
    change = _policy(name, magnitude)
    counters = hashed(seed, epoch, positions, K_POLICY)
    out = np.empty_like(images)
    for i, image in enumerate(images):
        with seeded(seed, int(counters[i])):
            changed = change(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))))
        out[i] = changed.numpy().transpose(1, 2, 0)
    return out


def require_policy(name: str) -> None:
    """Raises MissingExtra when the recipe's policy is not installed."""
    if name != "none":
        _policy(name)


@cache
def _policy(name: str, magnitude: int = 9) -> Callable[[torch.Tensor], torch.Tensor]:
    try:
        from torchvision.transforms import v2
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
        raise MissingExtra(
            _("policy={name} needs torchvision. Install it with pip install 'plusx[train]'.", name=name)
        ) from error
    if name == "randaugment":
        return v2.RandAugment(magnitude=magnitude)
    if name == "3augment":
        return _three_augment()
    return {"trivialaugment": v2.TrivialAugmentWide, "augmix": v2.AugMix}[name]()


def _three_augment() -> Callable[[torch.Tensor], torch.Tensor]:
    """One of grey, solarised and blurred, then jittered colours (DeiT III, Touvron et al. 2022, arXiv 2204.07118, section 3.3).

    The numbers are those of facebookresearch/deit augment.py and main.py: solarised from 128, sigma 0.1 to 2, jitter 0.3.
    The blur is cut at two deviations, so that images of 5 pixels can be blurred.
    """
    from torchvision.transforms import v2

    blur = v2.GaussianBlur(9, sigma=(0.1, 2.0))
    one = v2.RandomChoice([v2.RandomGrayscale(p=1.0), v2.RandomSolarize(threshold=128, p=1.0), blur])
    return v2.Compose([one, v2.ColorJitter(0.3, 0.3, 0.3)])
