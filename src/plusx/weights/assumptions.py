"""What was taken of a network without being known: its family's conventions, defaults, and values that look wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from plusx.i18n import Message, _
from plusx.specs import ResNetSpec
from plusx.specs.language import show_value
from plusx.weights.identification.result import Identification


class Assumption(NamedTuple):
    """A line for people. One that `matters` may change what the network computes."""

    text: Message
    matters: bool = False


def said_of(found: Identification, spec: ResNetSpec, notes: Sequence[Message] = ()) -> tuple[Assumption, ...]:
    """What a user of this network should know. `notes` are those of its translation or identification."""
    lines = [
        Assumption(
            _(
                "{name} is {spec}, by {family} ({family_why})",
                name=found.hub_name or found.path.name,
                spec=spec,
                family=found.family,
                family_why=found.family_why,
            )
        )
    ]
    by_convention = _fields(found, spec, "convention")
    if by_convention:
        lines.append(Assumption(_("taken by convention: {fields}", fields=by_convention)))
    unknown = _fields(found, spec, "unknown")
    if unknown:
        lines.append(Assumption(_("not shown by the file, taken as: {fields}", fields=unknown), matters=True))
    lines += [Assumption(_("warning: {line}", line=line), matters=True) for line in found.suspicious]
    return (*lines, *map(Assumption, notes))


def _fields(found: Identification, spec: ResNetSpec, how: str) -> str:
    """The fields with this verdict that were not given otherwise, as words."""
    return ", ".join(
        f"{name}={'none' if verdict.value is None else show_value(verdict.value)}"
        for name, verdict in found.fields.items()
        if verdict.how == how and getattr(spec, name) == verdict.value
    )
