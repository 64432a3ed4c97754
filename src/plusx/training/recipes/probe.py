"""The recipe `probe`: a linear classifier on the frozen network, without training it."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: a linear classifier on frozen features, in seconds")
CONTRACT = {
    "result": _("not measured yet"),
    "source": _(
        "multinomial logistic regression on pooled features, its regulariser chosen by folds (Kornblith et al. 2019, arXiv 1805.08974)"
    ),
}
"""What the recipe gave, on what machine, how often."""


def probe() -> Recipe:
    """Of its keys those count that say how images are prepared, class_weights and precision."""
    return Recipe(name="probe", epochs=1)
