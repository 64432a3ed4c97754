"""The recipe `auto`: a probe, then as much training as pays."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: probe, then layer4, then finetune, each while there is time and it pays")
CONTRACT = {
    "result": _(
        "test accuracy 74.9 % (382 of 510), 71.7 % (215 of 300), 90.0 % (270 of 300): layer4 was kept each time"
    ),
    "on": _(
        "which of 17 photographs a crop is of, Fashion-MNIST, the digits of scikit-learn; 10 images a class to train, 10 to validate; "
        "weights of Yahoo's open_nsfw, a thin ResNet-50 (benchmarks/transfer.py)"
    ),
    "seeds": _("1 (0)"),
    "seconds": _("141, 98 and 93 by the clock, 264, 184 and 174 of CPU time; the probe was there after 8, 7 and 7"),
    "machine": _("2-core AMD EPYC (Zen 4, AVX512-BF16), two threads"),
    "source": _(
        "the probe first, then training (linear probing then fine-tuning: Kumar et al. 2022, arXiv 2202.10054); each stage is a recipe of its own"
    ),
}
"""What the recipe gave, on what machine, how often."""


def auto() -> Recipe:
    """Of its keys those count that say how images are prepared, class_weights and precision."""
    return Recipe(name="auto", epochs=4)
