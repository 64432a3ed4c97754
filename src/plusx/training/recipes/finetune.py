"""The recipe `finetune`: the whole network learns, its early layers slowly, from a probed classifier."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: the whole network, early layers with lower learning rates")
CONTRACT = {
    "result": _("test accuracy 71.4 % (364 of 510), after a probe with 72.9 %: so few images are too few for it"),
    "on": _(
        "which photograph a crop is of: 10 crops of one half of each of 17 photographs, 510 crops of the other halves to test; "
        "weights of Yahoo's open_nsfw, a thin ResNet-50 (benchmarks/transfer.py)"
    ),
    "seeds": _("1 (0)"),
    "seconds": _("146 by the clock, 270 of CPU time"),
    "machine": _("2-core AMD EPYC (Zen 4, AVX512-BF16), two threads"),
    "source": _(
        "the probe first, then training (linear probing then fine-tuning: Kumar et al. 2022, arXiv 2202.10054); lower rates "
        "for earlier layers as in ULMFiT (Howard and Ruder 2018, arXiv 1801.06146) and fastai's fine_tune"
    ),
}
"""What the recipe gave, on what machine, how often."""


def finetune() -> Recipe:
    """10 epochs behind the frozen stem; each stage learns at 0.6 of the next one's rate."""
    return Recipe(
        name="finetune",
        epochs=10,
        batch=32,
        lr=0.005,
        warmup=0.2,
        weight_decay=1e-4,
        label_smoothing=0.1,
        ema=0.98,
        head="probe",
        freeze="stem",
        layer_decay=0.6,
        clip=1.0,
    )
