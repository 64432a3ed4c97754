"""The recipe `layer4`: the last stage and the classifier learn behind frozen layers, whose maps are computed once."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: layer4 and the classifier, from kept maps of the frozen layers")
CONTRACT = {
    "result": _("not measured yet"),
    "source": _(
        "the probe first, then training (linear probing then fine-tuning: Kumar et al. 2022, arXiv 2202.10054); kept "
        "bottleneck maps as in ML.NET's image classification; learning rate and smoothing are usual values for fine-tuning"
    ),
}
"""What the recipe gave, on what machine, how often."""


def layer4() -> Recipe:
    """20 epochs over 8 views of every image; layer1 to layer3 do not change."""
    return Recipe(
        name="layer4",
        epochs=20,
        batch=32,
        lr=0.005,
        warmup=0.1,
        weight_decay=1e-4,
        label_smoothing=0.1,
        ema=0.98,
        head="probe",
        freeze="layer3",
        views=8,
        clip=1.0,
    )
