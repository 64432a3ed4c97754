"""The recipe of a training: one frozen `Recipe`, made by a function, changed by words.

default lr=0.2 epochs=20        the language of networks: a name, then key=value words
"""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from plusx.errors import SpecError, unknown
from plusx.i18n import _
from plusx.training.recipe_keys import (
    NAMES,
    OTHER_NAMES,
    READ_WITH,
    RECIPE,
    ClassWeights,
    Crop,
    Curve,
    Head,
    Interpolation,
    Keep,
    Loss,
    Optimiser,
    Policy,
    Precision,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number of a training that is not the network, the data or the seed; `recipe_keys` says what each one means.

    Lengths are in epochs, sizes in pixels; `lr` is the peak for the batch as written, whatever `batch` is.
    """

    name: str
    epochs: int = 30
    batch: int = 32
    accumulate: int = 1
    grad_checkpointing: bool = False
    repeats: int = 1
    optimiser: Optimiser = "sgd"
    lr: float = 0.05
    schedule: Curve = "cosine"
    lr_end: float = 0.0
    warmup: float = 0.05
    warmup_from: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1
    power: float = 1.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    norm_decay: bool = False
    loss: Loss = "ce"
    label_smoothing: float = 0.0
    ema: float = 0.0
    size: int | None = None
    eval_size: int | None = None
    size_from: int | None = None
    grow: float = 0.75
    crop: Crop = "auto"
    area: float = 0.35
    shift: int | None = None
    flip: bool = True
    policy: Policy = "none"
    magnitude: int = 9
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    head: Head = "auto"
    freeze: str | None = None
    thaw: int = 0
    views: int = 0
    layer_decay: float = 1.0
    clip: float = 0.0
    class_weights: ClassWeights = "none"
    eval_crop: float | None = None
    interpolation: Interpolation = "auto"
    precision: Precision = "auto"
    keep: Keep = "best"
    early_stop: int = 0

    def __post_init__(self) -> None:
        for key, value in RECIPE.checked({key: getattr(self, key) for key in RECIPE.keys}).items():
            object.__setattr__(self, key, value)
        if self.accumulate > self.batch:
            raise SpecError(
                _(
                    "accumulate={parts} cuts batch={batch} into more parts than it has images. Write accumulate={batch} or less.",
                    parts=self.accumulate, batch=self.batch,
                )
            )  # fmt: skip
        if self.freeze is None and (self.thaw or self.views):
            raise SpecError(
                _("{key}= needs a frozen part. Write freeze=layer3 too.", key="thaw" if self.thaw else "views")
            )
        changing = {
            "thaw": self.thaw, "size_from": self.size_from, "eval_size": self.eval_size, "repeats": self.repeats > 1
        }  # fmt: skip
        if self.views and any(changing.values()):
            raise SpecError(
                _(
                    "views={views} keeps the maps of one frozen part at one size, which {key}= changes. Leave one out.",
                    views=self.views, key=next(key for key, value in changing.items() if value),
                )
            )  # fmt: skip

    def __str__(self) -> str:
        """The shortest words that give the same recipe.

        >>> str(parse_recipe("default epochs=20 flip=yes"))
        'default epochs=20'
        """
        base = preset(self.name)
        changed = {key: getattr(self, key) for key in RECIPE.keys if getattr(self, key) != getattr(base, key)}
        return " ".join([self.name, *RECIPE.words(changed)])

    def replace(self, **keys: Any) -> Recipe:
        """The same recipe with some values changed, checked again. Raises SpecError."""
        return dataclasses.replace(self, **RECIPE.checked(keys))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: lists in place of tuples."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe of a `to_dict`; keys that a newer plusx wrote raise SpecError."""
        keys = {key: value for key, value in values.items() if key != "name"}
        return cls(values["name"], **RECIPE.checked(keys))


def preset(name: str) -> Recipe:
    """The shipped recipe of that name. Raises SpecError with the nearest name."""
    name = OTHER_NAMES.get(name, name)
    if name not in NAMES:
        raise SpecError(unknown(_("recipe"), name, NAMES))
    return getattr(module_of(name), name.replace("-", "_"))()


def module_of(name: str) -> ModuleType:
    """The module of a shipped recipe, with its SUMMARY and its CONTRACT."""
    return importlib.import_module(f"plusx.training.recipes.{name.replace('-', '_')}")


def shipped_values(name: str) -> dict[str, Any]:
    """The keys and values of the shipped recipe of that name; empty where there is none, as of a newer plusx."""
    try:
        return preset(name).to_dict()
    except SpecError:
        return {}


def parse_recipe(text: str, default: str | None = None) -> Recipe:
    """The recipe that `text` asks for: a name, then key=value words; `default` is its name where the text has none.

    Raises SpecError for a name or key that does not exist, a key twice, a value that cannot be, or a key that would not count.

    >>> parse_recipe("default lr=0.2").lr, parse_recipe("epochs=3", default="default").epochs
    (0.2, 3)
    """
    words = text.split()
    named = bool(words) and "=" not in words[0]
    if not named and default is None:
        fixed = f"default {text}".strip()
        raise SpecError(
            _(
                "The recipe {text!r} has no name ({names}). Write {fixed!r}.",
                text=text,
                names=", ".join(NAMES),
                fixed=fixed,
            )
        )
    recipe = preset(words.pop(0) if named else str(default))
    changed = RECIPE.read(words)
    recipe = recipe.replace(**changed)
    for key, (other, value) in READ_WITH.items():
        if key in changed and getattr(recipe, other) != value:
            raise SpecError(
                _("{key}= counts with {other}={value} alone. Write that too, or leave {key}= out.",
                  key=key, other=other, value=value)
            )  # fmt: skip
    return recipe


def recipe_name(text: str | None) -> str | None:
    """The name in a recipe's words; None where they have none.

    >>> recipe_name("full lr=0.1"), recipe_name("lr=0.1")
    ('finetune', None)
    """
    words = (text or "").split()
    return None if not words or "=" in words[0] else OTHER_NAMES.get(words[0], words[0])
