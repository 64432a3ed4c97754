"""The recipe `layer4`: the last stage and the classifier learn behind frozen layers, whose maps are computed once."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: layer4 and the classifier, from kept maps of the frozen layers")
CONTRACT = {
    "result": _(
        "test accuracy 74.9 % (382 of 510), 71.7 % (215 of 300), 90.0 % (270 of 300), as the second stage of auto"
    ),
    "on": _(
        "which of 17 photographs a crop is of, Fashion-MNIST, the digits of scikit-learn; 10 images a class to train, 10 to validate; "
        "weights of Yahoo's open_nsfw, a thin ResNet-50 (benchmarks/transfer.py)"
    ),
    "seeds": _("1 (0)"),
    "seconds": _("46, 33 and 35 by the clock after the probe"),
    "machine": _("2-core AMD EPYC (Zen 4, AVX512-BF16), two threads"),
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
