"""What is decided about a training before it starts: one frozen `Recipe`, made by a function, changed by words.

default lr=0.2 epochs=20        the grammar of network texts: a name, then key=value words
"""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from plusx.errors import SpecError, unknown
from plusx.training.recipes import NAMES

Precision = Literal["auto", "fp32", "bf16"]
Policy = Literal["none", "trivialaugment", "randaugment", "augmix"]
ClassWeights = Literal["none", "balanced"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number of a training that is not the network, the data or the seed.

    Lengths are in epochs, sizes in pixels; `lr` is the peak for the batch as written, whatever `batch` is.
    """

    name: str
    epochs: int = 30
    batch: int = 32
    """Images a step; the epoch is cut into batches that differ by at most one image and never exceed this."""
    accumulate: int = 1
    """Parts a batch is computed in, to save memory; the gradient is that of the whole batch."""
    lr: float = 0.05
    lr_end: float = 0.0
    """The last learning rate as a share of `lr`."""
    warmup: float = 0.05
    """Share of all steps in which the rate rises linearly, before the cosine."""
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    """On weights of convolutions and of the classifier; never on norms and biases."""
    label_smoothing: float = 0.0
    ema: float = 0.0
    """Decay a step of the averaged weights that are then evaluated and kept; 0 = none."""
    size: int | None = None
    """Side of a training image; None: what the data says (digits 8, Fashion-MNIST 28), else 224."""
    size_from: int | None = None
    """Side in the first epoch, growing to `size`: early epochs cost less. None: `size` from the start."""
    grow: float = 0.75
    """Share of the epochs after which the full size is reached, where size_from is given."""
    crop: Literal["auto", "area", "shift", "none"] = "auto"
    """area: a random box of the image, resized; shift: moved by up to `shift` pixels; none: the centre.
    auto: shift for sets that lie in memory (digits, IDX), area for photos."""
    area: float = 0.35
    """Smallest share of the image's area that crop=area draws."""
    shift: int | None = None
    """Pixels; None: an eighth of the size."""
    flip: bool = True
    policy: Policy = "none"
    """A policy of torchvision's transforms.v2, as it comes, before anything is erased."""
    erase: float = 0.0
    """Probability that a box of a training image is erased."""
    mixup: float = 0.0
    """Alpha of mixup, two images averaged; 0 = none."""
    cutmix: float = 0.0
    """Alpha of CutMix, a box of one image in another; 0 = none. With mixup as well, a coin is tossed every step."""
    class_weights: ClassWeights = "none"
    """balanced: the loss of an image is weighted by n / (classes · n of its class), so rare classes count as much."""
    eval_crop: float = 0.875
    """Centre crop / resized shorter side when a photo is evaluated."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    precision: Precision = "auto"
    """auto: bf16 where the processor multiplies it natively, else fp32. Evaluation is always fp32."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights the bundle holds; `last` where the validation share is the test share."""
    early_stop: int = 0
    """Epochs without a new best after which the training ends; 0 = never."""

    def __post_init__(self) -> None:
        for name, (holds, rule) in _RULES.items():
            value = getattr(self, name)
            if not holds(value):
                raise SpecError(f"recipe {self.name}: {name}={_show(value)}, {rule}")
        if self.accumulate > self.batch:
            raise SpecError(
                f"recipe {self.name}: accumulate={self.accumulate} cuts batch={self.batch} into more parts than it has "
                f"images. Write accumulate={self.batch} or less."
            )

    def __str__(self) -> str:
        """The shortest words that give the same recipe.

        >>> str(parse_recipe("default epochs=20 flip=yes"))
        'default epochs=20'
        """
        base = preset(self.name)
        changed = [f for f in _KEYS if getattr(self, f) != getattr(base, f)]
        return " ".join([self.name, *(f"{f}={_show(getattr(self, f))}" for f in changed)])

    def replace(self, **keys: Any) -> Recipe:
        """The same recipe with some values changed, checked again. Raises SpecError."""
        for key in keys:
            if key not in _KEYS:
                raise SpecError(unknown("recipe key", key, _KEYS))
        return dataclasses.replace(self, **keys)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe of a `to_dict`; keys that a newer plusx wrote raise SpecError."""
        for key in values:
            if key != "name" and key not in _KEYS:
                raise SpecError(unknown("recipe key", key, _KEYS))
        return cls(**values)


_RULES: dict[str, tuple[Any, str]] = {
    "epochs": (lambda v: v >= 1, "must be at least 1"),
    "batch": (lambda v: v >= 1, "must be at least 1"),
    "accumulate": (lambda v: v >= 1, "must be at least 1"),
    "lr": (lambda v: 0 < v < float("inf"), "must be above 0"),
    "lr_end": (lambda v: 0 <= v <= 1, "must lie in 0..1 (a share of lr)"),
    "warmup": (lambda v: 0 <= v < 1, "must lie in 0..1, 1 excluded (a share of all steps)"),
    "momentum": (lambda v: 0 <= v < 1, "must lie in 0..1, 1 excluded"),
    "weight_decay": (lambda v: 0 <= v < float("inf"), "must not be negative"),
    "label_smoothing": (lambda v: 0 <= v < 1, "must lie in 0..1, 1 excluded"),
    "ema": (lambda v: 0 <= v < 1, "must lie in 0..1, 1 excluded"),
    "size": (lambda v: v is None or v >= 1, "must be at least 1 pixel"),
    "size_from": (lambda v: v is None or v >= 1, "must be at least 1 pixel"),
    "grow": (lambda v: 0 < v <= 1, "must lie in 0..1, 0 excluded (a share of the epochs)"),
    "mixup": (lambda v: 0 <= v < float("inf"), "must not be negative"),
    "cutmix": (lambda v: 0 <= v < float("inf"), "must not be negative"),
    "early_stop": (lambda v: v >= 0, "must not be negative"),
    "area": (lambda v: 0 < v <= 1, "must lie in 0..1, 0 excluded"),
    "shift": (lambda v: v is None or v >= 0, "must not be negative"),
    "erase": (lambda v: 0 <= v <= 1, "must lie in 0..1"),
    "eval_crop": (lambda v: 0 < v <= 1, "must lie in 0..1, 0 excluded"),
}
_KEYS: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(Recipe) if f.name != "name")


def preset(name: str) -> Recipe:
    """The shipped recipe of that name. Raises SpecError with the nearest name."""
    if name not in NAMES:
        raise SpecError(unknown("recipe", name, NAMES))
    return getattr(importlib.import_module(f"plusx.training.recipes.{name}"), name)()


def parse_recipe(text: str) -> Recipe:
    """The recipe that `text` asks for: a name, then key=value words.

    Raises SpecError for a name or key that does not exist, a key twice, or a value that cannot be.

    >>> parse_recipe("default lr=0.2").lr
    0.2
    """
    words = text.split()
    if not words or "=" in words[0]:
        raise SpecError(f"recipe {text!r}, must begin with a name ({', '.join(NAMES)}); e.g. 'default {text}'".rstrip())
    recipe = preset(words[0])
    written: dict[str, Any] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals:
            raise SpecError(f"recipe word {word!r}, must be key=value; keys: {', '.join(_KEYS)}")
        if key not in _KEYS:
            raise SpecError(unknown("recipe key", key, _KEYS))
        if key in written:
            raise SpecError(f"recipe key {key!r}, is written twice; keep one")
        written[key] = _read(key, value)
    return recipe.replace(**written)


def _read(key: str, text: str) -> Any:
    """The value of `key` that `text` means, by the type of the field."""
    kind = _TYPES[key]
    options = get_args(kind)
    try:
        if kind is bool:
            return {"yes": True, "no": False}[text]
        if kind in (int, float):
            return kind(text)
        if type(None) in options:
            return None if text == "auto" else int(text)
    except (KeyError, ValueError):
        wanted = {bool: "yes or no", int: "a whole number", float: "a number"}.get(kind, "a whole number, or auto")
        raise SpecError(f"recipe {key}={text}, must be {wanted}") from None
    if text not in options:
        raise SpecError(unknown(f"recipe {key}", text, options))
    return text


_TYPES: dict[str, Any] = get_type_hints(Recipe)


def _show(value: Any) -> str:
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
