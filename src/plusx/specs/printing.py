"""From fields back to text: the shortest words that give a specification."""

from __future__ import annotations

from functools import cache
from typing import Any

from plusx.errors import SpecError, closest
from plusx.i18n import _
from plusx.specs.fields import DEFAULTS, SpecFields
from plusx.specs.keys import SPEC
from plusx.specs.presets import PRESETS
from plusx.specs.rules import resolve

MAX_IMPLIED = 5
"""Fields that a single written word can change besides its own: three for depths, one each for stem and until (`rules.implied`)."""


def preset_values(name: str) -> dict[str, Any]:
    """The values that a preset sets. Raises SpecError with the nearest names."""
    if name not in PRESETS:
        near = ", ".join(closest(name, PRESETS))
        raise SpecError(
            _("There is no preset {name!r}. The nearest are {near}. plusx presets lists all {count}.",
              name=name, near=near, count=len(PRESETS))
        )  # fmt: skip
    return SPEC.read(PRESETS[name].words.split())


@cache
def preset_fields(name: str) -> SpecFields:
    """The fields of a preset. Raises SpecError with the nearest names."""
    return resolve(SpecFields(), preset_values(name))


@cache
def shortest_words(spec: SpecFields) -> str:
    """The fewest words that parse to `spec`; of equally short texts, the one with the earlier preset (resnet18 before plain18)."""
    wanted = SpecFields(**spec.values())
    differing = {
        name: sum(getattr(preset_fields(name), field) != getattr(wanted, field) for field in DEFAULTS)
        for name in PRESETS
    }
    position = {name: number for number, name in enumerate(PRESETS)}
    best: list[str] = []
    for name in sorted(PRESETS, key=lambda name: differing[name]):
        if best and (differing[name] - MAX_IMPLIED >= len(best) or (differing[name] and len(best) == 1)):
            break
        words = [name, *_words_on(preset_fields(name), wanted)]
        if not best or (len(words), position[name]) < (len(best), position[best[0]]):
            best = words
    return " ".join(best)


def base_preset(spec: SpecFields) -> str:
    """The preset with which the shortest text of `spec` starts."""
    return shortest_words(spec).split(" ", 1)[0]


def _words_on(base: SpecFields, wanted: SpecFields) -> list[str]:
    """The words that turn `base` into `wanted`: the differing keys, and keys that override implied values. No word is redundant."""
    names = [name for name in DEFAULTS if getattr(base, name) != getattr(wanted, name)]
    while (got := _try(base, wanted, names)) != wanted:
        wrong = [n for n in DEFAULTS if got is None or getattr(got, n) != getattr(wanted, n)]
        if set(wrong) <= set(names):
            return ["?"] * len(
                DEFAULTS
            )  # this base cannot reach `wanted`, for example because until has no word for None
        names = [n for n in DEFAULTS if n in names or n in wrong]
    for name in list(names):
        fewer = [n for n in names if n != name]
        if _try(base, wanted, fewer) == wanted:
            names = fewer
    return SPEC.words({name: getattr(wanted, name) for name in names})


def _try(base: SpecFields, wanted: SpecFields, names: list[str]) -> SpecFields | None:
    written = {name: getattr(wanted, name) for name in names}
    if any(value in SPEC.keys[name].unwritten for name, value in written.items()):
        return None
    try:
        return resolve(base, written)
    except SpecError:
        return None
