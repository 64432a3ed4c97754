"""The recipe `probe`: a linear classifier on the frozen network, without training it."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("pretrained weights: a linear classifier on frozen features, in seconds")
CONTRACT = {
    "result": _("test accuracy 72.9 % (372 of 510), 71.3 % (214 of 300), 88.7 % (266 of 300)"),
    "on": _(
        "which of 17 photographs a crop is of, Fashion-MNIST, the digits of scikit-learn; 10 images a class to train, 10 to validate; "
        "weights of Yahoo's open_nsfw, a thin ResNet-50 (benchmarks/transfer.py)"
    ),
    "seeds": _("1 (0)"),
    "seconds": _("14, 10 and 11 by the clock, 20, 14 and 15 of CPU time"),
    "machine": _("2-core AMD EPYC (Zen 4, AVX512-BF16), two threads"),
    "source": _(
        "multinomial logistic regression on pooled features, its regulariser chosen by folds (Kornblith et al. 2019, arXiv 1805.08974)"
    ),
}
"""What the recipe gave, on what machine, how often."""


def probe() -> Recipe:
    """Of its keys those count that say how images are prepared, class_weights and precision."""
    return Recipe(name="probe", epochs=2)
