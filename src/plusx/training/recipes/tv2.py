"""The recipe `tv2`: torchvision's weights V2."""

from __future__ import annotations

from plusx.i18n import _
from plusx.training.recipe import Recipe

SUMMARY = _("ImageNet as torchvision's weights V2: 600 epochs with every regulariser")
CONTRACT = {
    "result": _(
        "published accuracy: 80.858 % (ResNet-50), 81.886 % (101), 82.284 % (152), 81.198 % (ResNeXt-50); not re-measured"
    ),
    "on": _("ImageNet-1k; trained at 176 pixels, evaluated at 224 of 232"),
    "network": _("resnet50, resnet101, resnet152, resnext50_32x4d"),
    "seeds": _("1 published; not re-measured"),
    "seconds": _("not published; not re-measured"),
    "machine": _("8 GPUs with 128 images each"),
    "differs": _(
        "the learning rate changes every step, there every epoch; the EMA follows every step, there every 32 steps with 1 - 2e-5 · 1024 · 32 / 600, which is ema here to the power of 32; biases do not decay"
    ),
    "source": _("torchvision references/classification, and the blog post on its latest primitives (2021)"),
}
"""What the recipe gave where it was published, and how it differs here."""


def tv2() -> Recipe:
    """Warm-up over 5 epochs from a hundredth; `ema` is per step: 2e-5 · 1024 images / 600 epochs below 1."""
    return Recipe(
        name="tv2",
        epochs=600,
        batch=1024,
        repeats=4,
        lr=0.5,
        schedule="cosine",
        warmup=5 / 600,
        warmup_from=0.01,
        momentum=0.9,
        nesterov=False,
        weight_decay=2e-5,
        label_smoothing=0.1,
        ema=1 - 2e-5 * 1024 / 600,
        size=176,
        eval_size=224,
        crop="area",
        area=0.08,
        policy="trivialaugment",
        erase=0.1,
        mixup=0.2,
        cutmix=1.0,
        eval_crop=224 / 232,
        interpolation="bilinear",
        keep="last",
    )
