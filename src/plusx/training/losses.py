"""The loss of a batch of mixed images: cross-entropy, or binary cross-entropy with each class by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from plusx.training.recipe import Recipe


@dataclass(frozen=True)
class Targets:
    """int64 (n,): the labels of both images in each mixed one, the first one's share, and each label's weight (n,)."""

    labels: Tensor
    others: Tensor
    share: float
    weights: Tensor
    other_weights: Tensor


def summed_loss(logits: Tensor, targets: Targets, recipe: Recipe) -> Tensor:
    """The sum over images of the recipe's loss of `logits` (n, classes); shape ()."""
    if recipe.loss == "bce":
        return _binary(logits, targets, recipe.label_smoothing)
    loss = targets.share * _cross_entropy(logits, targets.labels, targets.weights, recipe.label_smoothing)
    if targets.share < 1:
        rest = _cross_entropy(logits, targets.others, targets.other_weights, recipe.label_smoothing)
        loss = loss + (1 - targets.share) * rest
    return loss


def _cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    each = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return (each * weights.to(each)).sum()


def _binary(logits: Tensor, targets: Targets, smoothing: float) -> Tensor:
    """Mean over classes, sum over images. Both classes of a mixed image are present, with 1 - smoothing + smoothing / classes.

    "ResNet strikes back" (arXiv 2110.00476, section 2.2) asks whether each class is in the image, whatever its share; the
    smoothed values and the mean over classes are those of timm.loss.BinaryCrossEntropy.
    """
    low = smoothing / logits.shape[1]
    wanted = torch.full_like(logits, low)
    wanted.scatter_(1, torch.stack([targets.labels, targets.others], 1), 1 - smoothing + low)
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)
    weights = targets.share * targets.weights + (1 - targets.share) * targets.other_weights
    return (each * weights.to(each)).sum()
