"""The recipe `paper-cifar`: CIFAR-10 as He et al. trained it in 2015."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("CIFAR-10 as in the paper of 2015: SGD, batch 128, 64,000 steps")
CONTRACT = {
    "result": _(
        "published accuracy: 91.25 % (ResNet-20), 92.49 % (32), 92.83 % (44), 93.03 % (56), 93.57 % (110, the best of five; mean 93.39 %); not re-measured"
    ),
    "on": _("CIFAR-10, all 50,000 training images"),
    "network": _(
        "resnet20, resnet32, resnet44, resnet56, resnet110; the paper warms the last one up with lr=0.01 until its training error is below 80 %"
    ),
    "seeds": _("1 published, 5 for ResNet-110; not re-measured"),
    "seconds": _("not published; not re-measured"),
    "machine": _("two GPUs"),
    "differs": _(
        "mean and deviation of each channel in place of the mean of each pixel; 164 epochs of 391 steps are 64,124 steps in place of 64,000, and the learning rate falls after 32,062 and 48,093"
    ),
    "source": _("He et al. 2015, arXiv 1512.03385, section 4.2 and table 6"),
}
"""What the recipe gave where it was published, and how it differs here."""


def paper_cifar() -> Recipe:
    """The learning rate falls to a tenth after a half and three quarters of the steps."""
    return Recipe(
        name="paper-cifar",
        epochs=164,
        batch=128,
        lr=0.1,
        schedule="step",
        warmup=0.0,
        milestones=(0.5, 0.75),
        gamma=0.1,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-4,
        norm_decay=True,
        size=32,
        crop="shift",
        shift=4,
        eval_crop=1.0,
        precision="fp32",
        keep="last",
    )
