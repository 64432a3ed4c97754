"""The recipe `auto`: a probe, then as much training as pays."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: probe, then layer4, then finetune, each while there is time and it pays")
CONTRACT = {
    "result": _("not measured yet"),
    "source": _(
        "the probe first, then training (linear probing then fine-tuning: Kumar et al. 2022, arXiv 2202.10054); each stage is a recipe of its own"
    ),
}
"""What the recipe gave, on what machine, how often."""


def auto() -> Recipe:
    """Of its keys those count that say how images are prepared, class_weights and precision."""
    return Recipe(name="auto", epochs=3)
