"""The language: text to spec and back. `resnet50 stem=deep output_stride=8`."""

from __future__ import annotations

from functools import cache
from typing import Any

from plusx.errors import SpecError, closest
from plusx.specs.keys import SPEC
from plusx.specs.model import ResNetSpec
from plusx.specs.presets import PRESETS
from plusx.specs.rules import DEFAULTS, resolve

MOST_IMPLIED = 5
"""Fields that one written word can bring along: depths three, stem and until one each (`rules.implied`)."""


def parse(text: str) -> ResNetSpec:
    """The spec that a line of words asks for: a preset's name, then key=value words. Raises SpecError.

    >>> parse("plain34") == parse("resnet34 shortcut=none")
    True
    """
    words = text.split()
    if not words:
        raise SpecError("an empty line names no network; write a preset like resnet50 (plusx presets lists them)")
    base = preset(words.pop(0)) if "=" not in words[0] else ResNetSpec()
    return resolve(base, read_words(words))


def read_words(words: list[str]) -> dict[str, Any]:
    """Values of key=value words, each key once. Raises SpecError."""
    second = next((word for word in words if word in PRESETS), None)
    if second is not None:
        raise SpecError(f"{second!r} is a second preset. Write one preset, then words like {SPEC.example}.")
    return SPEC.read(words)


@cache
def preset(name: str) -> ResNetSpec:
    """The spec of a preset. Raises SpecError with the nearest name."""
    if name not in PRESETS:
        near = ", ".join(closest(name, PRESETS))
        raise SpecError(f"There is no preset {name!r}. The nearest are {near}. plusx presets lists all {len(PRESETS)}.")
    return resolve(ResNetSpec(), read_words(PRESETS[name].words.split()))


@cache
def shortest_words(spec: ResNetSpec) -> str:
    """The fewest words that parse to `spec`; between equals those on the earlier preset (resnet18 before plain18)."""
    differing = {
        name: sum(getattr(preset(name), field) != getattr(spec, field) for field in DEFAULTS) for name in PRESETS
    }
    place = {name: number for number, name in enumerate(PRESETS)}
    best: list[str] = []
    for name in sorted(PRESETS, key=lambda name: differing[name]):
        if best and differing[name] - MOST_IMPLIED >= len(best):
            break
        words = [name, *_words_on(preset(name), spec)]
        if not best or (len(words), place[name]) < (len(best), place[best[0]]):
            best = words
    return " ".join(best)


def base_preset(spec: ResNetSpec) -> str:
    """The preset that the shortest text of `spec` starts from."""
    return shortest_words(spec).split(" ", 1)[0]


def input_size(spec: ResNetSpec) -> int:
    """Side in pixels of the square input that the spec's nearest preset is made for."""
    return PRESETS[base_preset(spec)].size_px


def _words_on(base: ResNetSpec, spec: ResNetSpec) -> list[str]:
    """The words that turn `base` into `spec`: those that differ, more if something implied is in the way, none too many."""
    names = [name for name in DEFAULTS if getattr(base, name) != getattr(spec, name)]
    while (got := _try(base, spec, names)) != spec:
        wrong = [n for n in DEFAULTS if got is None or getattr(got, n) != getattr(spec, n)]
        if set(wrong) <= set(names):
            return ["?"] * len(DEFAULTS)  # cannot be said on this base (until written, say)
        names = [n for n in DEFAULTS if n in names or n in wrong]
    for name in list(names):
        fewer = [n for n in names if n != name]
        if _try(base, spec, fewer) == spec:
            names = fewer
    return SPEC.words({name: getattr(spec, name) for name in names})


def _try(base: ResNetSpec, spec: ResNetSpec, names: list[str]) -> ResNetSpec | None:
    written = {name: getattr(spec, name) for name in names}
    if any(value in SPEC.keys[name].unwritten for name, value in written.items()):
        return None
    try:
        return resolve(base, written)
    except SpecError:
        return None
