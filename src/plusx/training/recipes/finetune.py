"""The recipe `finetune`: the whole network learns, its early layers slowly, from a probed classifier."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: the whole network, early layers with lower learning rates")
CONTRACT = {
    "result": _(
        "test accuracy 72.4 % (369 of 510), 71.7 % (215 of 300), 87.0 % (261 of 300): so few images gain little beyond a probe"
    ),
    "on": _(
        "which of 17 photographs a crop is of, Fashion-MNIST, the digits of scikit-learn; 10 images a class to train, 10 to validate; "
        "weights of Yahoo's open_nsfw, a thin ResNet-50 (benchmarks/transfer.py)"
    ),
    "seeds": _("1 (0)"),
    "seconds": _("139, 93 and 91 by the clock, 253, 163 and 168 of CPU time"),
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
