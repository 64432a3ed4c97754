"""The specification of a network: one frozen record in which every field has a concrete value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from plusx.specs.display import Displayed
from plusx.specs.fields import SpecFields
from plusx.specs.keys import SPEC
from plusx.specs.printing import shortest_words
from plusx.specs.rules import resolve


@dataclass(frozen=True, slots=True)
class ResNetSpec(SpecFields, Displayed):
    """A whole ResNet. `plusx.spec`, `replace` and `from_dict` make specs and check them; `plusx presets --keys` lists the keys.

    Two specs are equal exactly when their networks are equal: a field that has no effect stands at its default.
    """

    display_kind: ClassVar[str] = "network"

    def __str__(self) -> str:
        """The shortest words that give this spec: `str(spec("resnet34 shortcut=none")) == "plain34"`."""
        return shortest_words(self)

    def replace(self, **keys: Any) -> ResNetSpec:
        """The same network with other values for some keys; implied values follow. Raises SpecError.

        >>> from plusx import spec
        >>> str(spec("resnet50").replace(depths=(3, 4, 23, 3), gate="se"))
        'resnet101 gate=se'
        """
        return resolve(self, SPEC.checked(keys))

    def to_dict(self) -> dict[str, Any]:
        """Every field in a form that JSON and TOML can hold: tuples as lists, without fields that are None."""

        def plain(value: Any) -> Any:
            return list(cast("tuple[int, ...]", value)) if isinstance(value, tuple) else value

        return {name: plain(value) for name, value in self.values().items() if value is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ResNetSpec:
        """A spec from the output of `to_dict`, or from a part of it; the other fields are defaults. Raises SpecError."""
        return resolve(cls(), SPEC.checked(values))
