"""The recipe `auto`: a probe, then as much training as pays."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: probe, then layer4, then finetune, each while there is time and it pays")
CONTRACT = {
    "result": _(
        "test accuracy of its stages: probe 72.9 % (372 of 510), layer4 76.1 % (388), finetune by itself 71.4 % (364)"
    ),
    "on": _(
        "which photograph a crop is of: 10 crops of one half of each of 17 photographs, 510 crops of the other halves to test; "
        "weights of Yahoo's open_nsfw, a thin ResNet-50 (benchmarks/transfer.py)"
    ),
    "seeds": _("1 (0)"),
    "seconds": _("367 by the clock on a machine with other work, 233 of CPU time"),
    "machine": _("2-core AMD EPYC (Zen 4, AVX512-BF16), two threads"),
    "source": _(
        "the probe first, then training (linear probing then fine-tuning: Kumar et al. 2022, arXiv 2202.10054); each stage is a recipe of its own"
    ),
}
"""What the recipe gave, on what machine, how often."""


def auto() -> Recipe:
    """Of its keys those count that say how images are prepared, class_weights and precision."""
    return Recipe(name="auto", epochs=3)
