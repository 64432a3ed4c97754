"""The recipe `paper-imagenet`: ImageNet as He et al. trained it in 2015."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("ImageNet as in the paper of 2015: SGD, batch 256, 120 epochs")
CONTRACT = {
    "result": _("published accuracy with one crop: 75.3 % (ResNet-50), 76.4 % (101), 77.0 % (152); not re-measured"),
    "on": _("ImageNet-1k, 224 pixels"),
    "network": _("resnet50_caffe, resnet101_caffe, resnet152_caffe, whose stride is in the first 1x1 as in the paper"),
    "seeds": _("1 published; not re-measured"),
    "seconds": _("not published; not re-measured"),
    "machine": _("not published"),
    "differs": _(
        "boxes of 8 to 100 % of the area in place of a random scale of 256 to 480 pixels; no colour augmentation; ImageNet's mean in place of the mean of each pixel; the learning rate falls after 30, 60 and 90 epochs, in the paper when the error stops falling; its 600,000 steps are 120 epochs"
    ),
    "source": _("He et al. 2015, arXiv 1512.03385, section 3.4; accuracies: KaimingHe/deep-residual-networks"),
}
"""What the recipe gave where it was published, and how it differs here."""


def paper_imagenet() -> Recipe:
    """600,000 steps of 256 images; the learning rate falls to a tenth three times."""
    return Recipe(
        name="paper-imagenet",
        epochs=120,
        batch=256,
        lr=0.1,
        schedule="step",
        warmup=0.0,
        milestones=(0.25, 0.5, 0.75),
        gamma=0.1,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-4,
        norm_decay=True,
        size=224,
        crop="area",
        area=0.08,
        eval_crop=0.875,
        precision="fp32",
        keep="last",
    )
