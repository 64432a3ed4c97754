"""The recipe `finetune`: the whole network learns, its early layers slowly, from a probed classifier."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: the whole network, early layers with lower learning rates")
CONTRACT = {
    "result": _("not measured yet"),
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
