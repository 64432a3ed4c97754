"""The recipe `a3`: procedure A3 of "ResNet strikes back"."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("ImageNet as in ResNet strikes back, A3: LAMB, batch 2048, 100 epochs")
CONTRACT = {
    "result": _("published accuracy of ResNet-50: 78.1 %; not re-measured"),
    "on": _("ImageNet-1k; trained at 160 pixels, evaluated at 224"),
    "network": _("resnet50"),
    "seeds": _("1 published; not re-measured"),
    "seconds": _("not re-measured"),
    "machine": _("not stated here"),
    "differs": _(
        "RandAugment is torchvision's: magnitude 6 of 10 is 18 of its 30, without noise, and every operation is applied, in timm one of two"
    ),
    "source": _(
        "Wightman, Touvron and Jégou 2021, arXiv 2110.00476, table 2; clip is the max_grad_norm of timm's LAMB"
    ),
}
"""What the recipe gave where it was published, and how it differs here."""


def a3() -> Recipe:
    """Warm-up over 5 epochs; each class is asked for by itself, with both images of a mixed one."""
    return Recipe(
        name="a3",
        epochs=100,
        batch=2048,
        optimiser="lamb",
        lr=8e-3,
        schedule="cosine",
        warmup=5 / 100,
        momentum=0.9,
        weight_decay=0.02,
        loss="bce",
        size=160,
        eval_size=224,
        crop="area",
        area=0.08,
        policy="randaugment",
        magnitude=18,
        mixup=0.1,
        cutmix=1.0,
        clip=1.0,
        eval_crop=0.95,
        interpolation="bicubic",
        keep="last",
    )
