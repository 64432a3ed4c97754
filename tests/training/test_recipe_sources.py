"""Every field of a recipe that names a paper or a library, against a table written from that source."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from plusx.training.recipe import Recipe, module_of, parse_recipe, preset
from plusx.training.recipe_keys import NAMES, OTHER_NAMES
from plusx.training.schedule import Schedule

IMAGENET, CIFAR = 1_281_167, 50_000

SGD = {"optimiser": "sgd", "momentum": 0.9, "nesterov": False}
RESIZED_CROPS = {"crop": "area", "area": 0.08, "flip": True}  # RandomResizedCrop's default scale, and a flip
STEPS = {"schedule": "step", "warmup": 0, "gamma": 0.1}
# arXiv 1512.03385 section 3.4: batch 256, 0.1, divided by 10, 60 · 10^4 steps, 1e-4, 0.9; crops of 224, of 256 to evaluate
PAPER_IMAGENET = {
    **SGD, **STEPS, **RESIZED_CROPS, "batch": 256, "lr": 0.1, "epochs": round(600_000 * 256 / IMAGENET),
    "milestones": (0.25, 0.5, 0.75), "weight_decay": 1e-4, "norm_decay": True, "size": 224, "eval_crop": 224 / 256,
}  # fmt: skip
# section 4.2: batch 128, 0.1 divided by 10 at 32k and 48k of 64k, 1e-4, 0.9; 4 pixels padded, crops of 32, a flip
PAPER_CIFAR = {
    **SGD, **STEPS, "batch": 128, "lr": 0.1, "epochs": round(64_000 / 391), "milestones": (32 / 64, 48 / 64),
    "weight_decay": 1e-4, "norm_decay": True, "size": 32, "crop": "shift", "shift": 4, "flip": True, "eval_crop": 1,
}  # fmt: skip
# references/classification: 8 GPUs · 32, 90 epochs, lr 0.1, StepLR(30, 0.1), 1e-4 on all, 256 -> 224 bilinear
TV1 = {
    **SGD, **STEPS, **RESIZED_CROPS, "batch": 8 * 32, "lr": 0.1, "epochs": 90, "milestones": (30 / 90, 60 / 90),
    "weight_decay": 1e-4, "norm_decay": True, "size": 224, "eval_crop": 224 / 256, "interpolation": "bilinear",
}  # fmt: skip
# 8 · 128, 600 epochs, 0.5, 5 epochs from 0.01, cosine, 2e-5 and 0 on norms, smoothing 0.1, mixup 0.2, cutmix 1, TrivialAugment,
# erasing 0.1, repeats 4, EMA 0.99998 adjusted by 1024 images · 32 steps / 600 epochs every 32 steps, 176, 232 -> 224
TV2 = {
    **SGD, **RESIZED_CROPS, "batch": 8 * 128, "lr": 0.5, "epochs": 600, "schedule": "cosine", "warmup": 5 / 600,
    "warmup_from": 0.01, "lr_end": 0, "weight_decay": 2e-5, "norm_decay": False, "label_smoothing": 0.1, "mixup": 0.2,
    "cutmix": 1, "policy": "trivialaugment", "erase": 0.1, "repeats": 4, "size": 176, "eval_size": 224, "eval_crop": 224 / 232,
    "interpolation": "bilinear", "ema": 1 - (1 - 0.99998) * 1024 * 32 / 600 / 32,
}  # fmt: skip
# arXiv 2110.00476 table 2: batch 2048, LAMB, cosine, 5 warm-up epochs, BCE, CutMix 1, RandAugment, test crop ratio 0.95, bicubic
STRIKES_BACK = {
    **RESIZED_CROPS, "batch": 2048, "optimiser": "lamb", "schedule": "cosine", "momentum": 0.9, "norm_decay": False, "loss": "bce",
    "cutmix": 1, "policy": "randaugment", "eval_crop": 0.95, "interpolation": "bicubic", "clip": 1, "erase": 0, "ema": 0,
}  # fmt: skip
SOURCES: dict[str, dict[str, Any]] = {
    "paper-imagenet": PAPER_IMAGENET,
    "paper-cifar": PAPER_CIFAR,
    "tv1": TV1,
    "tv2": TV2,
    # epochs, sizes, lr, weight decay, smoothing, mixup, repeats, and RandAugment's m of 10 as torchvision's of 30
    "a1": {**STRIKES_BACK, "epochs": 600, "warmup": 5 / 600, "size": 224, "lr": 5e-3, "weight_decay": 0.01, "label_smoothing": 0.1,
           "mixup": 0.2, "repeats": 3, "magnitude": 7 * 3},
    "a2": {**STRIKES_BACK, "epochs": 300, "warmup": 5 / 300, "size": 224, "lr": 5e-3, "weight_decay": 0.02, "label_smoothing": 0,
           "mixup": 0.1, "repeats": 3, "magnitude": 7 * 3},
    "a3": {**STRIKES_BACK, "epochs": 100, "warmup": 5 / 100, "size": 160, "eval_size": 224, "lr": 8e-3, "weight_decay": 0.02,
           "label_smoothing": 0, "mixup": 0.1, "repeats": 1, "magnitude": 6 * 3},
}  # fmt: skip
NOT_OF_THE_SOURCE = {"name", "precision", "keep"}
"""What plusx decides: the number format, and that no evaluation chooses the epoch."""
PLAIN: dict[str, Any] = {  # what a source without a word on it does not do
    "accumulate": 1, "grad_checkpointing": False, "repeats": 1, "warmup_from": 0, "lr_end": 0, "warmup": 0, "nesterov": True, "loss": "ce", "label_smoothing": 0,
    "ema": 0, "eval_size": None, "size_from": None, "policy": "none", "erase": 0, "mixup": 0, "cutmix": 0, "head": "auto",
    "freeze": None, "thaw": 0, "views": 0, "layer_decay": 1, "clip": 0, "class_weights": "none", "early_stop": 0, "shift": None,
    "interpolation": "auto",
    # and what counts with another value of another key alone
    "milestones": (0.5, 0.75), "gamma": 0.1, "power": 1, "magnitude": 9, "grow": 0.75, "area": 0.35,
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_fields_are_those_of_the_source(name: str) -> None:
    found, wanted = dataclasses.asdict(preset(name)), {**PLAIN, **SOURCES[name]}
    assert set(wanted) | NOT_OF_THE_SOURCE == set(found), "a new key needs a word from every source"
    for key, value in wanted.items():
        assert found[key] == (pytest.approx(value) if isinstance(value, float) else value), key
    assert found["keep"] == "last"


def test_lengths_are_those_of_the_papers() -> None:
    cifar, imagenet = preset("paper-cifar"), preset("paper-imagenet")
    assert Schedule(CIFAR, cifar.batch, cifar.epochs).steps == pytest.approx(64_000, rel=0.002)
    assert Schedule(IMAGENET, imagenet.batch, imagenet.epochs).steps == pytest.approx(600_000, rel=0.002)


PUBLISHED = {
    "paper-imagenet": (100 - 24.7, 100 - 23.6, 100 - 23.0),  # KaimingHe/deep-residual-networks, one crop
    "paper-cifar": (100 - 8.75, 100 - 7.51, 100 - 7.17, 100 - 6.97, 100 - 6.43, 100 - 6.61),  # table 6
    "tv1": (69.758, 73.314, 76.130, 77.374, 78.312),
    "tv2": (80.858, 81.886, 82.284, 81.198),
    "a1": (80.4,),
    "a2": (79.8,),
    "a3": (78.1,),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_contract_cites_and_says_what_was_not_measured(name: str) -> None:
    contract = {key: str(text) for key, text in module_of(name).CONTRACT.items()}
    assert "not re-measured" in contract["result"] and "not re-measured" in contract["seconds"]
    for accuracy in PUBLISHED[name]:
        decimals = 3 if name.startswith("tv") else 1 if name != "paper-cifar" else 2
        assert f"{accuracy:.{decimals}f} %" in contract["result"]
    assert ("drop_path=0.05" in contract["network"]) == (name in ("a1", "a2"))


def test_networks_that_a_contract_names_can_be_built() -> None:
    import re

    from plusx import spec

    for name in SOURCES:
        for words in re.findall(
            r"(?:resnet|resnext)[\w]*(?: drop_path=[\d.]+)?", str(module_of(name).CONTRACT["network"])
        ):
            spec(words)


def test_every_name_is_found_by_either_spelling() -> None:
    for name in NAMES:
        assert preset(name).name == name and parse_recipe(f"{name} epochs=2").epochs == 2
        assert "-" not in name or OTHER_NAMES[name.replace("-", "_")] == name
        assert Recipe.from_dict(preset(name).to_dict()) == preset(name)
