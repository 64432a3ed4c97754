"""What was taken of a network without being known: its family's conventions, defaults, and values that look wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from plusx.i18n import _
from plusx.specs import ResNetSpec
from plusx.specs.language import show_value
from plusx.weights.identification import Identification


class Assumption(NamedTuple):
    """A line for people. One that `matters` may change what the network computes."""

    text: str
    matters: bool = False


def said_of(found: Identification, spec: ResNetSpec, notes: Sequence[str] = ()) -> tuple[Assumption, ...]:
    """What a user of this network should know. `notes` are those of its translation, or of the identification."""
    lines = [
        Assumption(_("{file} is {spec}, by {family} ({why})", file=found.path.name, spec=spec, family=found.family, why=found.family_why))
    ]  # fmt: skip
    by_convention = _fields(found, spec, "convention")
    if by_convention:
        lines.append(Assumption(_("taken by convention: {fields}", fields=by_convention)))
    unknown = _fields(found, spec, "unknown")
    if unknown:
        lines.append(Assumption(_("not told by the file, taken as: {fields}", fields=unknown), matters=True))
    lines += [Assumption(_("warning: {line}", line=line), matters=True) for line in found.suspicious]
    return (*lines, *map(Assumption, notes))


def _fields(found: Identification, spec: ResNetSpec, how: str) -> str:
    """The fields with this verdict that were not given otherwise, as words."""
    return ", ".join(
        f"{name}={'none' if verdict.value is None else show_value(verdict.value)}"
        for name, verdict in found.fields.items()
        if verdict.how == how and getattr(spec, name) == verdict.value
    )
