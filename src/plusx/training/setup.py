"""From what a user wrote to concrete values: the spec completed by the data, sizes, preprocessing, first weights."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plusx.analysis import analyse
from plusx.analysis.feature_info import check_feature_name
from plusx.bundles import Bundle
from plusx.data.dataset import Data, Splits
from plusx.errors import DataError, SpecError, WeightsError
from plusx.graph import Graph, lower
from plusx.i18n import Message, _, _n
from plusx.images import Preprocessing
from plusx.nn import ResNet, build
from plusx.specs import ResNetSpec, parse
from plusx.training.policies import require_policy
from plusx.training.recipe import Recipe, preset
from plusx.training.recipe_keys import NAMES, READ
from plusx.training.seeds import INITIALISATION, seeded
from plusx.weights.file_bundles import NAMED, knows_preprocessing
from plusx.weights.opening import open_first_weights

PHOTO_PX = 224
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels, as in torchvision's weights."""
GREY = (0.449,), (0.226,)
"""The means of the two triples above."""
EVAL_CROP = 0.875
"""224 of 256 pixels: torchvision's references/classification."""
FEW_FOR_RANDOM = 5000
"""Files of images below which a training from random weights is told of pretrained ones."""
FAR = 4
"""A batch so many times as large or as small as the recipe's own is worth a note."""
SHARED_MACS = 500_000_000
"""Multiply-adds of one batch, forward, from which on several threads compute it."""


@dataclass(frozen=True)
class Setup:
    """What a run trains, with concrete values. `notes` are lines that a user should read before the training starts."""

    spec: ResNetSpec
    recipe: Recipe
    preprocessing: Preprocessing
    weights: dict[str, Any] | None
    notes: tuple[str, ...]
    first: Bundle | None = None
    """Where the weights come from, prepared for images as this run prepares them; None on a resumed run."""

    def network(self, seed: int) -> ResNet:
        """The network with its first weights: those of a bundle, or random ones that depend on `seed` alone."""
        with seeded(seed, INITIALISATION):
            network = (
                build(self.spec)
                if self.weights is None or not _has_head(self.weights)
                else build(self.spec, self.weights)
            )
        if self.weights is not None and not _has_head(self.weights):
            state = network.state_dict()
            state.update({name: torch.from_numpy(np.array(array)) for name, array in self.weights.items()})
            network.load_state_dict(state)
        network.preprocessing = self.preprocessing
        return network


def prepare(
    network: str | ResNetSpec | Graph | None,
    splits: Splits,
    recipe: Recipe,
    weights: str | Path | Bundle | None,
    how_prepared: Preprocessing | str | Path | None = None,
) -> Setup:
    """The Setup of network, data, recipe and first weights, with every auto resolved.

    With weights, images are prepared as for the weights' own training: channels, mean and deviation, and size unless the
    recipe names one. `how_prepared` says it where the weights do not.
    Raises SpecError, DataError or WeightsError where they contradict each other.
    """
    if not isinstance(network, str | ResNetSpec | Graph | None):
        raise SpecError(
            _(
                "A {kind} is not a network's words, spec or graph. Give its spec, and the file or bundle that it starts from "
                "as weights.",
                kind=type(network).__name__,
            )
        )
    notes: list[str] = []
    first = None
    if weights is not None:
        first = open_first_weights(weights, _spec_of(network), preprocessing=how_prepared)
        if first.spec.until is not None:
            raise SpecError(_("until={until} leaves no classifier to train. Leave it out.", until=first.spec.until))
    if network is None:
        if first is None:
            raise SpecError(_("No network is named. Write one, e.g. plusx train resnet18 --data photos/."))
        network = first.spec.replace(classes=len(splits.train.classes))
    spec = complete(network, splits.train, None if first is None else first.spec.in_channels)
    own = None
    arrays: dict[str, Any] | None = None
    if first is not None:
        arrays, weight_notes = _first_weights(first, spec, splits.train.classes, recipe, weights)
        notes += weight_notes
        own = _preprocessing_of(first, recipe, notes)
        if own is not None and own.mode == "L" and splits.train.channels > 1:
            notes.append(_("the weights are for grey images, so colours are not used"))
    elif is_frozen(recipe) or recipe.head != "auto":
        raise SpecError(
            _("{recipe} starts from trained weights. Name them with --weights, e.g. --weights imagenet.", recipe=recipe)
        )
    if recipe.freeze is not None:
        check_feature_name(lower(spec), recipe.freeze)
        last = len(spec.depths)
        if recipe.views and recipe.freeze in (f"layer{last}", f"layer{last}.{spec.depths[-1] - 1}"):
            raise SpecError(
                _(
                    "freeze={part} leaves only the classifier of {network} to learn, which recipe probe does better. Write "
                    "freeze={before} to train the last stage too.",
                    part=recipe.freeze, network=spec, before=f"layer{last - 1}" if last > 1 else "stem",
                )
            )  # fmt: skip
    notes += _far_batch(recipe)
    require_policy(recipe.policy)
    recipe, size_notes = resolve_auto(recipe, splits, own)
    notes += size_notes
    size = recipe.size or PHOTO_PX
    if size < 64 and spec.stem != "3x3":
        notes.append(
            _(
                "images of {size} pixels lose most of their detail in stem={stem}; stem=3x3 fits better",
                size=size,
                stem=spec.stem,
            )
        )
    if first is None and splits.train.images is None and len(splits.train) < FEW_FOR_RANDOM:
        notes.append(
            _n(
                "{n} image is little for a training from random weights. Pretrained ones give far more of such a folder, in "
                "less time: plusx train resnet50 --weights imagenet --data …",
                "{n} images are few for a training from random weights. Pretrained ones give far more of such a folder, in "
                "less time: plusx train resnet50 --weights imagenet --data …",
                len(splits.train),
            )
        )
    notes += splits.notes
    if splits.skipped:
        notes.append(
            _n(
                "{n} image cannot be used and is skipped; skipped.csv says why",
                "{n} images cannot be used and are skipped; skipped.csv says why",
                len(splits.skipped),
            )
        )
    pre = preprocessing(recipe, splits.train, own)
    first = None if first is None else replace(first, preprocessing=pre)
    return Setup(spec, recipe, pre, arrays, tuple(notes), first)


def _far_batch(recipe: Recipe) -> list[str]:
    """A note where the batch is far from the one that the recipe's learning rate belongs to.

    The rate goes with the batch for SGD (Goyal et al. 2017, arXiv 1706.02677), with its root for AdamW and LAMB (You et al.
    2020, arXiv 1904.00962, section 4).
    """
    own = preset(recipe.name) if recipe.name in NAMES else recipe
    if recipe.lr != own.lr or recipe.optimiser != own.optimiser or 1 / FAR < recipe.batch / own.batch < FAR:
        return []
    ratio = recipe.batch / own.batch
    fits = float(f"{own.lr * (ratio if recipe.optimiser == 'sgd' else math.sqrt(ratio)):.2g}")
    return [
        _(
            "lr={lr:g} of recipe {name} is for batch={own}; for batch={batch} lr={fits:g} takes steps of the same kind",
            lr=own.lr, name=recipe.name, own=own.batch, batch=recipe.batch, fits=fits,
        )
    ]  # fmt: skip


def is_frozen(recipe: Recipe) -> bool:
    """Whether a part of the network, or all of it, stays as its weights are: such a training needs weights."""
    return recipe.freeze is not None or recipe.name in READ


def _spec_of(network: str | ResNetSpec | Graph | None) -> ResNetSpec | None:
    return parse(network) if isinstance(network, str) else network.spec if isinstance(network, Graph) else network


def _preprocessing_of(first: Bundle, recipe: Recipe, notes: list[str]) -> Preprocessing | None:
    """How the weights' own images were prepared; None where nothing says it, which a frozen network does not allow."""
    if knows_preprocessing(first):
        return first.preprocessing
    if is_frozen(recipe):
        raise WeightsError(
            _(
                "{weights} does not say how its images were prepared, and frozen layers cannot adapt to others. Give "
                "--preprocessing with a JSON file, or one of {names}.",
                weights=first.path, names=", ".join(NAMED),
            )
        )  # fmt: skip
    notes.append(
        _(
            "the weights do not say how their images were prepared, so these images are normalised by this data's "
            "values (--preprocessing names others)"
        )
    )
    return None


def complete(network: str | ResNetSpec | Graph, data: Data, in_channels: int | None = None) -> ResNetSpec:
    """The spec with classes and channels of the data, unless the text says otherwise, which raises SpecError.

    `in_channels`: those of the weights that the training starts from.
    """
    spec = parse(network) if isinstance(network, str) else network.spec if isinstance(network, Graph) else network
    if spec.until is not None:
        raise SpecError(_("until={until} leaves no classifier to train. Leave it out.", until=spec.until))
    words = network if isinstance(network, str) else str(spec)
    channels = in_channels or data.channels
    for key, has in {"classes": len(data.classes), "in_channels": channels}.items():
        if re.search(rf"(^|\s){key}=", words) and getattr(spec, key) != has:
            values = {"key": key, "asked": getattr(spec, key), "has": has}
            if key == "in_channels" and in_channels:
                raise SpecError(
                    _(
                        "The network says {key}={asked}, but the weights have {has}. Leave it out or write {key}={has}.",
                        **values,
                    )
                )
            raise SpecError(
                _(
                    "The network says {key}={asked}, but the data has {has}. Leave it out or write {key}={has}.",
                    **values,
                )
            )
    return spec.replace(classes=len(data.classes), in_channels=channels)


def resolve_auto(recipe: Recipe, splits: Splits, own: Preprocessing | None = None) -> tuple[Recipe, list[str]]:
    """The recipe with concrete values where it says auto, chosen by the data, and notes on those choices.

    `own` is the preprocessing of the weights that a training starts from: its size and filter go before the data's.
    """
    notes: list[str] = []
    data, small = splits.train, splits.train.images is not None
    size = recipe.size
    if size is None and own is not None and own.crop_px is not None:
        size = own.crop_px
        if splits.size_px is not None and splits.size_px <= size // 2:
            notes.append(
                _(
                    "half of the images are at most {have} pixels; they are enlarged to {size}, the size of the weights' own "
                    "training",
                    have=splits.size_px, size=size,
                )
            )  # fmt: skip
    if size is None:
        size = PHOTO_PX
        if splits.size_px is not None and (small or splits.size_px < PHOTO_PX // 2):
            size = splits.size_px
            if not small:
                notes.append(
                    _(
                        "half of the images are at most {size} pixels, so training uses size={size}; write "
                        "--recipe '{name} size={larger}' to enlarge them",
                        size=size, name=recipe.name, larger=PHOTO_PX,
                    )
                )  # fmt: skip
    crop = recipe.crop if recipe.crop != "auto" else ("shift" if small else "area")
    shift = recipe.shift if recipe.shift is not None else max(1, size // 8)
    if recipe.size_from is not None and recipe.size_from > size:
        raise SpecError(
            _(
                "size_from={size_from} is larger than size={size}. Write a smaller one.",
                size_from=recipe.size_from,
                size=size,
            )
        )
    if len(data) < 2:
        raise DataError(
            _n(
                "There is {n} training image, but training needs at least 2. Add images or lower --val-split.",
                "There are {n} training images, but training needs at least 2. Add images or lower --val-split.",
                len(data),
            )
        )
    eval_crop, interpolation = recipe.eval_crop, recipe.interpolation
    if eval_crop is None:
        known = own is not None and own.crop_px is not None and own.resize_px is not None
        eval_crop = min(1.0, own.crop_px / own.resize_px) if known else EVAL_CROP  # type: ignore[union-attr, operator]
    if interpolation == "auto":
        interpolation = "bilinear" if own is None else own.interpolation
    return recipe.replace(size=size, crop=crop, shift=shift, eval_crop=eval_crop, interpolation=interpolation), notes


def preprocessing(recipe: Recipe, data: Data, own: Preprocessing | None = None) -> Preprocessing:
    """The preprocessing of evaluation. Mean and deviation are those of `own`, the weights' preprocessing, where there is one.

    Else data in memory is normalised by its own mean and deviation, and photos by ImageNet's. `recipe` has concrete values.
    """
    size = recipe.eval_size or recipe.size or PHOTO_PX
    interpolation = "bilinear" if recipe.interpolation == "auto" else recipe.interpolation
    resize = size if data.images is not None else round(size / (recipe.eval_crop or EVAL_CROP))
    if own is not None:
        return replace(own, resize_px=resize, crop_px=size, interpolation=interpolation)
    mean, std = IMAGENET if data.channels == 3 else GREY
    if data.images is not None:
        pixels = data.images.reshape(-1, data.channels)
        mean = tuple(round(float(v) / 255, 4) for v in pixels.mean(axis=0, dtype=np.float64))
        std = tuple(max(1e-3, round(float(v) / 255, 4)) for v in pixels.std(axis=0, dtype=np.float64))
    return Preprocessing(data.mode, resize, size, interpolation, 1 / 255, mean, std)


def _first_weights(
    first: Bundle, spec: ResNetSpec, classes: tuple[str, ...], recipe: Recipe, name: str | Path | Bundle | None
) -> tuple[dict[str, Any], list[str]]:
    """The bundle's tensors, without its classifier where the recipe or the classes want a new one, and a note on that.

    Raises WeightsError.
    """
    theirs = first.spec.replace(classes=spec.classes)
    if theirs != spec:
        raise WeightsError(
            _(
                "The weights are those of {theirs} and do not fit {ours}. Leave the network out to take theirs.",
                theirs=theirs, ours=spec,
            )
        )  # fmt: skip
    same = first.classes == classes
    if recipe.head == "keep" and not same:
        raise WeightsError(
            _(
                "head=keep needs the classes of {weights}, which has {had}; the data has {has}. Write head=new or head=probe.",
                weights=name.path if isinstance(name, Bundle) else name, had=_few(first.classes), has=_few(classes),
            )
        )  # fmt: skip
    if recipe.head == "keep" or (recipe.head == "auto" and same):
        return dict(first.weights()), []
    notes: list[str] = []
    if recipe.head == "auto" and recipe.name not in READ:
        notes.append(
            _(
                "the classifier starts from random weights: {weights} has {had}, the data has {has}",
                weights=name.path if isinstance(name, Bundle) else name, had=_few(first.classes), has=_few(classes),
            )
        )  # fmt: skip
    return {key: array for key, array in first.weights().items() if not key.startswith("fc.")}, notes


def _has_head(weights: dict[str, Any]) -> bool:
    return any(name.startswith("fc.") for name in weights)


def _few(classes: tuple[str, ...]) -> Message:
    shown = ", ".join([*classes[:3], *(["…"] if len(classes) > 3 else [])])
    return _n("{n} class ({names})", "{n} classes ({names})", len(classes), names=shown)


def default_threads(setup: Setup) -> int | None:
    """1 where a batch is too little work to be split, None (all cores) elsewhere.

    With batches of 8x8 digits two threads wait for each other at every layer, and on a busy machine they take several
    times as long as one.
    """
    macs = analyse(setup.spec, setup.recipe.size).totals.macs
    return 1 if macs is not None and macs * setup.recipe.batch < SHARED_MACS else None
