"""From what a user wrote to what a run needs: the spec completed by the data, sizes, first weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plusx.bundles import Bundle
from plusx.data.dataset import Data, Splits
from plusx.errors import DataError, SpecError, WeightsError
from plusx.graph import Graph
from plusx.images import Preprocessing
from plusx.nn import ResNet, build
from plusx.specs import ResNetSpec, parse
from plusx.training.policies import require_policy
from plusx.training.recipe import Recipe
from plusx.training.seeds import INITIALISATION, counted
from plusx.weights.opening import open_first_weights

PHOTO_PX = 224
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's pixels, the convention since torchvision's first weights."""
GREY = (0.449,), (0.226,)
"""The means of the two triples above."""


@dataclass(frozen=True)
class Setup:
    """A run, decided: every field is concrete. `notes` are lines that a user should read before the time is spent."""

    spec: ResNetSpec
    recipe: Recipe
    preprocessing: Preprocessing
    weights: dict[str, Any] | None
    notes: tuple[str, ...]

    def network(self, seed: int) -> ResNet:
        """The network with its first weights: from a bundle, or drawn from `seed` alone."""
        with counted(seed, INITIALISATION):
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
    network: str | ResNetSpec | Graph | None, splits: Splits, recipe: Recipe, weights: str | Path | Bundle | None
) -> Setup:
    """Decides all that the data, the recipe and a bundle of first weights leave open.

    Raises SpecError, DataError or WeightsError where they contradict each other.
    """
    if not isinstance(network, str | ResNetSpec | Graph | None):
        raise SpecError(
            f"A {type(network).__name__} is not a network's words, spec or graph. Give its spec, and the file or bundle "
            "that it starts from as weights."
        )
    notes: list[str] = []
    asked = None if network is None else complete(network, splits.train)
    first = open_first_weights(weights, asked) if weights is not None else None
    if network is None:
        if first is None:
            raise SpecError("no network is named; write one, e.g. plusx train resnet18 --data photos/")
        network = first.spec.replace(classes=len(splits.train.classes))
    spec = asked or complete(network, splits.train)
    array = None
    if first is not None:
        array = _first_weights(first.weights(), first.spec, spec)
        if first.classes != splits.train.classes:
            array = {name: a for name, a in array.items() if not name.startswith("fc.")}
            notes.append(
                f"the classifier starts anew: {weights.path if isinstance(weights, Bundle) else weights} knows {_few(first.classes)}, the data has {_few(splits.train.classes)}"
            )
    require_policy(recipe.policy)
    recipe, size_notes = settle(recipe, splits)
    notes += size_notes
    size = recipe.size or PHOTO_PX
    if size < 64 and spec.stem != "3x3":
        notes.append(f"images of {size} pixels lose most of their detail in stem={spec.stem}; stem=3x3 fits better")
    notes += splits.notes
    if splits.skipped:
        count = len(splits.skipped)
        what = "1 image cannot be used and is" if count == 1 else f"{count} images cannot be used and are"
        notes.append(f"{what} skipped; skipped.csv says why")
    return Setup(spec, recipe, preprocessing(recipe, splits.train), array, tuple(notes))


def complete(network: str | ResNetSpec | Graph, data: Data) -> ResNetSpec:
    """The spec with classes and channels of the data, unless the text says otherwise, which raises SpecError."""
    spec = parse(network) if isinstance(network, str) else network.spec if isinstance(network, Graph) else network
    if spec.until is not None:
        raise SpecError(f"until={spec.until}, leaves no classifier to train; leave the word out")
    words = network if isinstance(network, str) else str(spec)
    for key, has in {"classes": len(data.classes), "in_channels": data.channels}.items():
        if re.search(rf"(^|\s){key}=", words) and getattr(spec, key) != has:
            raise SpecError(
                f"{key}={getattr(spec, key)} in the text, the data has {has}; leave the word out or write {key}={has}"
            )
    return spec.replace(classes=len(data.classes), in_channels=data.channels)


def settle(recipe: Recipe, splits: Splits) -> tuple[Recipe, list[str]]:
    """The recipe with size, crop and shift decided by the data where it says auto."""
    notes: list[str] = []
    data, small = splits.train, splits.train.images is not None
    size = recipe.size
    if size is None:
        size = PHOTO_PX
        if splits.size_px is not None and (small or splits.size_px < PHOTO_PX // 2):
            size = splits.size_px
            if not small:
                notes.append(
                    f"half of the images are at most {size} pixels: training at size={size}; write --recipe '{recipe.name} size={PHOTO_PX}' to enlarge them"
                )
    crop = recipe.crop if recipe.crop != "auto" else ("shift" if small else "area")
    shift = recipe.shift if recipe.shift is not None else max(1, size // 8)
    if recipe.size_from is not None and recipe.size_from > size:
        raise SpecError(f"recipe {recipe.name}: size_from={recipe.size_from}, must be at most size={size}")
    if len(data) < 2:
        raise DataError(f"{len(data)} training images, must be at least 2; add some or lower --val-split")
    return recipe.replace(size=size, crop=crop, shift=shift), notes


def preprocessing(recipe: Recipe, data: Data) -> Preprocessing:
    """What an evaluated image goes through. Sets in memory have their own mean and deviation, photos ImageNet's."""
    size = recipe.size or PHOTO_PX
    mean, std = IMAGENET if data.channels == 3 else GREY
    resize = round(size / recipe.eval_crop)
    if data.images is not None:
        resize = size
        pixels = data.images.reshape(-1, data.channels)
        mean = tuple(round(float(v) / 255, 4) for v in pixels.mean(axis=0, dtype=np.float64))
        std = tuple(max(1e-3, round(float(v) / 255, 4)) for v in pixels.std(axis=0, dtype=np.float64))
    return Preprocessing(data.mode, resize, size, recipe.interpolation, 1 / 255, mean, std)


def _first_weights(weights: dict[str, Any], theirs: ResNetSpec, ours: ResNetSpec) -> dict[str, Any]:
    if theirs.replace(classes=ours.classes) != ours:
        raise WeightsError(
            f"weights of {theirs.replace(classes=ours.classes)}, cannot start {ours}; leave the network out to take theirs"
        )
    return weights


def _has_head(weights: dict[str, Any]) -> bool:
    return any(name.startswith("fc.") for name in weights)


def _few(classes: tuple[str, ...]) -> str:
    return f"{len(classes)} classes ({', '.join(classes[:3])}{', …' if len(classes) > 3 else ''})"
