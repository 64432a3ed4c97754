"""The keys of a recipe: how each value is read and what it means. Fields and defaults stand in `recipe`."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

from plusx.i18n import Message, _
from plusx.specs.language import (
    Key,
    Language,
    above_zero,
    below_one,
    choice,
    not_negative,
    rising_shares,
    share,
    up_to_one,
    whole,
    yes_no,
)

NAMES: tuple[str, ...] = (
    "default", "digits", "probe", "layer4", "finetune", "auto",
    "paper-imagenet", "paper-cifar", "tv1", "tv2", "a1", "a2", "a3",
)  # fmt: skip
"""The shipped recipes; each is a function in its own module of `recipes`, there with _ in place of -."""
_EVALUATION = ("size", "eval_crop", "interpolation", "class_weights", "precision")
_AUGMENTATION = ("crop", "area", "shift", "flip", "policy", "erase")
READ: dict[str, tuple[str, ...]] = {"probe": _EVALUATION, "auto": (*_EVALUATION, *_AUGMENTATION)}
"""Recipes of stages, and the keys that they read; every other recipe reads all keys."""
OTHER_NAMES: dict[str, str] = {
    "full": "finetune", "fine-tune": "finetune", "linear": "probe",
    "paper_imagenet": "paper-imagenet", "paper_cifar": "paper-cifar",
}  # fmt: skip
"""What people also call a recipe."""

MANY = 1_000_000
Precision = Literal["auto", "fp32", "bf16"]
Optimiser = Literal["sgd", "adamw", "lamb"]
Curve = Literal["cosine", "step", "poly", "onecycle", "constant"]
Loss = Literal["ce", "bce"]
Policy = Literal["none", "trivialaugment", "randaugment", "augmix", "3augment"]
ClassWeights = Literal["none", "balanced"]
Crop = Literal["auto", "area", "shift", "none"]
Interpolation = Literal["auto", "bilinear", "bicubic"]
Head = Literal["auto", "keep", "new", "probe"]
Keep = Literal["best", "last"]


def _one_of(words: Any, meaning: Message) -> Key:
    return Key(choice(*get_args(words)), ", ".join(get_args(words)), meaning)


def _share_or_auto(text: str) -> float | None:
    return None if text == "auto" else share()(text)


def _part(text: str) -> str | None:
    if text == "none":
        return None
    if not re.fullmatch(r"stem|layer[1-6](\.\d{1,3})?", text):
        raise ValueError(_("none, or a part of the network like stem, layer3 or layer3.4"))
    return text


KEYS: dict[str, Key] = {
    "epochs": Key(whole(1, MANY), "30", _("passes over the training images")),
    "batch": Key(whole(1, MANY), "32", _("images a step; batches of an epoch differ by one at most")),
    "accumulate": Key(
        whole(1, MANY), "1", _("parts a batch is computed in, to save memory; the gradient is the whole batch's")
    ),
    "grad_checkpointing": Key(
        yes_no,
        "no, yes",
        _("blocks keep their input alone and compute the rest again in the backward pass, to save memory"),
    ),
    "repeats": Key(
        whole(1, 64), "1", _("augmentations of an image in one batch; an epoch then sees one of so many images")
    ),
    "optimiser": _one_of(Optimiser, _("sgd; adamw and lamb with momentum as beta1, and beta2 0.999")),
    "lr": Key(above_zero(), "0.05", _("the peak learning rate, for the batch as written")),
    "schedule": _one_of(
        Curve,
        _(
            "the learning rate after the warm-up. cosine, poly: falls to lr_end; step: times gamma at each of milestones; "
            "onecycle: cosine up and down; constant: stays"
        ),
    ),
    "lr_end": Key(up_to_one(), "0", _("the last learning rate as a share of lr, with cosine, poly or onecycle")),
    "warmup": Key(below_one(), "0.05", _("share of all steps in which the learning rate rises to lr")),
    "warmup_from": Key(below_one(), "0", _("the learning rate before the first step as a share of lr")),
    "milestones": Key(
        rising_shares(16), "0.5,0.75", _("with schedule=step: shares of all steps after which the learning rate falls")
    ),
    "gamma": Key(share(), "0.1", _("with schedule=step: what each milestone multiplies the learning rate by")),
    "power": Key(above_zero(), "1", _("with schedule=poly: 1 falls along a line, 2 along a parabola")),
    "momentum": Key(below_one(), "0.9", _("momentum of sgd; beta1 of adamw and lamb")),
    "nesterov": Key(yes_no, "yes, no", _("Nesterov's momentum, with optimiser=sgd")),
    "weight_decay": Key(not_negative(), "0.0005", _("on weights of convolutions and of fc")),
    "norm_decay": Key(yes_no, "no, yes", _("weight_decay on norms and biases too")),
    "loss": _one_of(
        Loss,
        _("ce: cross-entropy over classes; bce: each class by itself, where both images of a mixed one count in full"),
    ),
    "label_smoothing": Key(below_one(), "0", _("share of the target spread over all classes")),
    "ema": Key(
        below_one(), "0", _("decay per step of the EMA of the weights, which is then evaluated and kept; 0: none")
    ),
    "size": Key(
        whole(1, MANY, none="auto"),
        "auto",
        _("side of a training image in pixels; auto: that of the weights, else the data's own, else 224"),
        "auto",
    ),
    "eval_size": Key(
        whole(1, MANY, none="auto"), "auto", _("side of an evaluated image in pixels; auto: that of training"), "auto"
    ),
    "size_from": Key(
        whole(1, MANY, none="auto"),
        "auto",
        _("side in the first epoch, growing to size; auto: size from the start"),
        "auto",
    ),
    "grow": Key(share(), "0.75", _("share of the epochs after which the full size is reached, with size_from")),
    "crop": _one_of(
        Crop,
        _(
            "area: a random box, resized; shift: moved by up to shift pixels; none: the centre; auto: shift for data in "
            "memory, area for photos"
        ),
    ),
    "area": Key(share(), "0.35", _("smallest share of the image's area that crop=area draws")),
    "shift": Key(whole(0, MANY, none="auto"), "auto", _("pixels for crop=shift; auto: an eighth of the size"), "auto"),
    "flip": Key(yes_no, "yes, no", _("mirror half of the images")),
    "policy": _one_of(
        Policy,
        _(
            "an augmentation policy of torchvision, or 3augment of DeiT III (grey, solarised or blurred, and jittered "
            "colours), before anything is erased"
        ),
    ),
    "magnitude": Key(whole(0, 30), "9", _("strength of policy=randaugment, of 30")),
    "erase": Key(up_to_one(), "0", _("probability that a box of a training image is erased")),
    "mixup": Key(not_negative(), "0", _("alpha of mixup, two images averaged; 0: none")),
    "cutmix": Key(not_negative(), "0", _("alpha of CutMix; 0: none. With mixup too, each step draws one of them")),
    "head": _one_of(
        Head,
        _(
            "first classifier beside --weights. keep: theirs; new: random; probe: fitted to frozen features; auto: keep for "
            "the same classes, else new"
        ),
    ),
    "freeze": Key(
        _part,
        "none, stem, layer3, …",
        _("the last part whose weights and norms do not change, from the stem on"),
        "none",
    ),
    "thaw": Key(whole(0, MANY), "0", _("epochs after which the frozen part is trained too; 0: never")),
    "views": Key(
        whole(0, 1000),
        "0",
        _(
            "augmentations of each image, whose maps behind the frozen part are computed once and kept; 0: new ones every "
            "epoch"
        ),
    ),
    "layer_decay": Key(
        share(), "1", _("learning rate of a stage as a share of the next one's, from the classifier down to the stem")
    ),
    "clip": Key(not_negative(), "0", _("largest norm of a step's gradient, which is scaled down to it; 0: any")),
    "class_weights": _one_of(ClassWeights, _("balanced: rare classes count as much in the loss as frequent ones")),
    "eval_crop": Key(
        _share_or_auto,
        "auto",
        _("centre crop over resized shorter side when a photo is evaluated; auto: that of the weights, else 0.875"),
        "auto",
    ),
    "interpolation": _one_of(Interpolation, _("filter of the resize; auto: that of the weights, else bilinear")),
    "precision": _one_of(
        Precision, _("auto: bf16 where the processor multiplies it natively, else fp32; evaluation is always fp32")
    ),
    "keep": _one_of(Keep, _("which epoch's weights the bundle holds")),
    "early_stop": Key(whole(0, MANY), "0", _("epochs without a new best after which training ends; 0: never")),
}

RENAMED: dict[str, str] = {
    **dict.fromkeys(("batch_size", "bs", "train_batch_size"), "batch"),
    **dict.fromkeys(("learning_rate", "lr0", "base_lr", "max_lr"), "lr"),
    **dict.fromkeys(("epoch", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs"), "epochs"),
    **dict.fromkeys(("wd", "decay"), "weight_decay"),
    **dict.fromkeys(("smoothing", "ls"), "label_smoothing"),
    **dict.fromkeys(("image_size", "img_size", "imgsz", "input_size", "resolution"), "size"),
    **dict.fromkeys(("accum", "grad_accum", "gradient_accumulation_steps", "accumulate_grad_batches"), "accumulate"),
    **dict.fromkeys(("gradient_checkpointing", "activation_checkpointing", "checkpointing"), "grad_checkpointing"),
    **dict.fromkeys(("warmup_ratio", "warmup_share"), "warmup"),
    **dict.fromkeys(("patience", "early_stopping"), "early_stop"),
    **dict.fromkeys(("aa", "auto_augment", "augment"), "policy"),
    **dict.fromkeys(("reprob", "random_erase", "random_erasing"), "erase"),
    **dict.fromkeys(("ema_decay", "model_ema_decay"), "ema"),
    **dict.fromkeys(("hflip", "mirror"), "flip"),
    **dict.fromkeys(("scheduler", "lr_scheduler", "sched", "lr_schedule"), "schedule"),
    **dict.fromkeys(("lr_gamma", "decay_rate"), "gamma"),
    **dict.fromkeys(("criterion", "loss_fn"), "loss"),
    **dict.fromkeys(("clip_grad", "clip_grad_norm", "max_grad_norm"), "clip"),
    **dict.fromkeys(("aug_repeats", "ra_reps", "repeated_aug"), "repeats"),
    **dict.fromkeys(("val_crop_size", "val_size", "test_size"), "eval_size"),
    **dict.fromkeys(("ra_magnitude", "randaug_magnitude"), "magnitude"),
    **dict.fromkeys(("lr_warmup_decay", "warmup_factor", "start_factor"), "warmup_from"),
    "mixup_alpha": "mixup",
    "cutmix_alpha": "cutmix",
    "amp": "precision",
}
ELSEWHERE: dict[str, str] = {
    "seed": _("{key} is not a key of a recipe. Write it beside the recipe: --seed 1."),
    **dict.fromkeys(
        ("warmup_epochs", "warmup_steps"),
        _("{key} is written warmup in plusx, as a share of all steps. Write warmup=0.05."),
    ),
}
RESPELT = {
    "optimiser": {"momentum": "sgd", "nesterov": "sgd", "fusedlamb": "lamb"},
    "policy": {
        "three_augment": "3augment",
        "threeaugment": "3augment",
        "ta": "trivialaugment",
        "ta_wide": "trivialaugment",
        "ra": "randaugment",
        "trivial": "trivialaugment",
    },
    "schedule": {
        "cos": "cosine",
        "cosineannealinglr": "cosine",
        "steplr": "step",
        "multistep": "step",
        "linear": "poly",
        "polynomial": "poly",
        "one_cycle": "onecycle",
        "1cycle": "onecycle",
    },
    "loss": {"cross_entropy": "ce", "crossentropy": "ce", "binary_cross_entropy": "bce"},
    "precision": {"bfloat16": "bf16", "float32": "fp32", "amp": "bf16", "yes": "bf16", "no": "fp32"},
}
SPELLINGS = {"optimizer": "optimiser", "opt": "optimiser"}
READ_WITH: dict[str, tuple[str, str]] = {
    "milestones": ("schedule", "step"),
    "gamma": ("schedule", "step"),
    "power": ("schedule", "poly"),
    "magnitude": ("policy", "randaugment"),
    "nesterov": ("optimiser", "sgd"),
}
"""Keys that count with one value of another key alone."""
RECIPE = Language("recipe key", KEYS, "lr=0.02", RENAMED, ELSEWHERE, RESPELT, SPELLINGS)
"""The language of recipes."""
