"""The recipe `a2`: procedure A2 of "ResNet strikes back"."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("ImageNet as in ResNet strikes back, A2: LAMB, batch 2048, 300 epochs")
CONTRACT = {
    "result": _("published accuracy of ResNet-50: 79.8 %; not re-measured"),
    "on": _("ImageNet-1k, 224 pixels"),
    "network": _("resnet50 drop_path=0.05"),
    "seeds": _("1 published; not re-measured"),
    "seconds": _("not re-measured"),
    "machine": _("not stated here"),
    "differs": _(
        "RandAugment is torchvision's: magnitude 7 of 10 is 21 of its 30, without noise, and every operation is applied, in timm one of two"
    ),
    "source": _(
        "Wightman, Touvron and Jégou 2021, arXiv 2110.00476, table 2; clip is the max_grad_norm of timm's LAMB; three repeats as in DeiT's sampler"
    ),
}
"""What the recipe gave where it was published, and how it differs here."""


def a2() -> Recipe:
    """Warm-up over 5 epochs; each class is asked for by itself, with both images of a mixed one."""
    return Recipe(
        name="a2",
        epochs=300,
        batch=2048,
        repeats=3,
        optimiser="lamb",
        lr=5e-3,
        schedule="cosine",
        warmup=5 / 300,
        momentum=0.9,
        weight_decay=0.02,
        loss="bce",
        size=224,
        crop="area",
        area=0.08,
        policy="randaugment",
        magnitude=21,
        mixup=0.1,
        cutmix=1.0,
        clip=1.0,
        eval_crop=0.95,
        interpolation="bicubic",
        keep="last",
    )
