"""The keys of the language as switches: their values, and for each impossible one the reason, from plusx's own rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from plusx.errors import SpecError, unknown
from plusx.graph import lower
from plusx.i18n import _
from plusx.specs import KEYS, PRESETS, SPEC, ResNetSpec, parse
from plusx.specs.printing import base_preset
from plusx.specs.rules import resolve
from plusx.text.alignment import Translate

GROUPS = {
    "network": ("depths", "widths", "block", "order"),
    "stem": ("stem", "stem_width", "stem_pool"),
    "blocks": ("stride_in", "shortcut", "join", "gate", "groups", "width_per_group", "norm", "act"),
    "geometry": ("output_stride", "dilate", "padding"),
    "ends": ("in_channels", "classes", "until"),
}
"""The switches that are always shown; the other keys stand in a last group, `more`."""
SHAPES = ("block", "shortcut", "norm")
"""Keys whose choices can contradict the channels, which only the graph knows; with group norm any key can."""


def switches(spec: ResNetSpec, say: Translate) -> list[dict[str, Any]]:
    """One object a key: key, group, meaning, value as it is written, and `choices` [{value, why}] for keys with words.

    `why` is None for what is possible, else the reason against it. A key without choices is a field to type into.
    """
    groups = {key: group for group, keys in GROUPS.items() for key in keys}
    order = sorted(KEYS, key=lambda key: list(GROUPS).index(groups[key]) if key in groups else len(GROUPS))
    return [_switch(spec, key, groups.get(key, "more"), say) for key in order]


def _switch(spec: ResNetSpec, key: str, group: str, say: Translate) -> dict[str, Any]:
    value, words = SPEC.show(key, getattr(spec, key)), choices(spec, key)
    found: dict[str, Any] = {"key": key, "group": group, "meaning": say(KEYS[key].meaning), "value": value}
    if words:
        shown = words if value in words else (*words, value)
        found["choices"] = [
            {"value": word, "why": None if word == value else why_not(spec, key, word, say)} for word in shown
        ]
    else:
        found["example"] = KEYS[key].allowed
    return found


def choices(spec: ResNetSpec, key: str) -> Sequence[str]:
    """The words that a key takes; none for numbers and free text.

    >>> from plusx import spec
    >>> choices(spec("resnet18"), "until")
    ('', 'stem', 'layer1', 'layer2', 'layer3', 'layer4')
    """
    if key == "until":
        return ("", "stem", *(f"layer{number}" for number, _depth in enumerate(spec.depths, 1)))
    return _words_of(key)


@cache
def _words_of(key: str) -> tuple[str, ...]:
    try:
        KEYS[key].parse("")
    except LookupError as error:
        return tuple(error.args[0])
    except ValueError:
        pass
    return ()


def why_not(spec: ResNetSpec, key: str, word: str, say: Translate) -> str | None:
    """Why a value is impossible for this network; None where it is possible."""
    try:
        changed = changed_spec(spec, f"{key}={word}")
        if key in SHAPES or spec.norm.startswith("group"):
            lower(
                replace(changed, depths=(1,) * len(changed.depths), until=None)
            )  # further blocks have the same channels
    except SpecError as error:
        return say(error.message)
    return None


def changed_spec(spec: ResNetSpec, word: str) -> ResNetSpec:
    """The network with one word more, `key=value`; `preset=NAME` is another network, `until=` the whole one. Raises SpecError."""
    key, _sign, value = word.partition("=")
    if key == "preset":
        if value not in PRESETS:
            raise SpecError(unknown(_("preset"), value, PRESETS))
        return parse(value)
    if (key, value) == ("until", ""):
        whole = parse(base_preset(spec))
        return resolve(spec, {"until": None, "classes": whole.classes if whole.until is None else 1000})
    return resolve(spec, SPEC.read([word]))
