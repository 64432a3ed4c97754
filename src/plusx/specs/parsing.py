"""From text to a specification: `resnet50 stem=deep output_stride=8`."""

from __future__ import annotations

from functools import cache
from typing import Any

from plusx.errors import SpecError
from plusx.i18n import _
from plusx.specs.keys import SPEC
from plusx.specs.model import ResNetSpec
from plusx.specs.presets import PRESETS
from plusx.specs.printing import base_preset, preset_values
from plusx.specs.rules import resolve


def parse(text: str) -> ResNetSpec:
    """The spec of a line of words: the name of a preset, then key=value words. Raises SpecError.

    >>> parse("plain34") == parse("resnet34 shortcut=none")
    True
    """
    words = text.split()
    if not words:
        raise SpecError(_("An empty line names no network. Write a preset like resnet50; plusx presets lists them."))
    base = preset(words.pop(0)) if "=" not in words[0] else ResNetSpec()
    return resolve(base, read_words(words))


def read_words(words: list[str]) -> dict[str, Any]:
    """The values of key=value words; each key may occur once. Raises SpecError."""
    second = next((word for word in words if word in PRESETS), None)
    if second is not None:
        raise SpecError(
            _("{name!r} is a second preset. Write one preset, then words like {example}.",
              name=second, example=SPEC.example)
        )  # fmt: skip
    return SPEC.read(words)


@cache
def preset(name: str) -> ResNetSpec:
    """The spec of a preset. Raises SpecError with the nearest names."""
    return resolve(ResNetSpec(), preset_values(name))


def input_size(spec: ResNetSpec) -> int:
    """The side in pixels of the square input for which the spec's nearest preset is made."""
    return PRESETS[base_preset(spec)].size_px
