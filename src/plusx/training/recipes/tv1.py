"""The recipe `tv1`: torchvision's weights V1."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("ImageNet as torchvision's weights V1: SGD, batch 256, 90 epochs")
CONTRACT = {
    "result": _(
        "published accuracy: 69.758 % (ResNet-18), 73.314 % (34), 76.130 % (50), 77.374 % (101), 78.312 % (152); not re-measured; others got 75.4 to 75.9 % with ResNet-50 (pytorch/vision issue 5593)"
    ),
    "on": _("ImageNet-1k, 224 pixels"),
    "network": _("resnet18 to resnet152; ResNeXt-50 with epochs=100"),
    "seeds": _("1 published; not re-measured"),
    "seconds": _("not published; not re-measured"),
    "machine": _("8 GPUs with 32 images each"),
    "source": _("torchvision references/classification, its defaults"),
}
"""What the recipe gave where it was published, and how it differs here."""


def tv1() -> Recipe:
    """The learning rate falls to a tenth after 30 and 60 epochs."""
    return Recipe(
        name="tv1",
        epochs=90,
        batch=256,
        lr=0.1,
        schedule="step",
        warmup=0.0,
        milestones=(1 / 3, 2 / 3),
        gamma=0.1,
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-4,
        norm_decay=True,
        size=224,
        crop="area",
        area=0.08,
        eval_crop=0.875,
        interpolation="bilinear",
        precision="fp32",
        keep="last",
    )
