"""What lies beside a network in its file: named groups of tensors, and the names of classes."""

from __future__ import annotations

from typing import Any, NamedTuple

from plusx.i18n import Message, _
from plusx.weights.families.surroundings import CLASS_WORDS, kind_of
from plusx.weights.identification.flat_file import FlatFile


class TensorGroup(NamedTuple):
    """Tensors set aside: what they are, and their paths."""

    name: Message
    keys: tuple[str, ...]

    @property
    def text(self) -> Message:
        """The name, how many tensors there are, and the first two paths."""
        if not self.keys:
            return self.name
        first = ", ".join(self.keys[:2]) + (", …" if self.keys[2:] else "")
        return _("{name} ({count}: {paths})", name=self.name, count=len(self.keys), paths=first)


def groups_of(flat: FlatFile, taken: set[str]) -> tuple[TensorGroup, ...]:
    """All tensors that are not `taken`, by what they are."""
    groups: dict[str, tuple[Message, list[str]]] = {}
    for name in flat.tensors:
        if name not in taken:
            kind = kind_of(name)
            groups.setdefault(kind, (kind, []))[1].append(name)
    return tuple(TensorGroup(kind, tuple(keys)) for kind, keys in groups.values())


def class_names(flat: FlatFile, classes: int) -> tuple[str, ...] | None:
    """The one list of as many names as there are classes, under a key that names classes; None where it is not one."""
    found: set[tuple[str, ...]] = {
        value
        for key, value in flat.facts.items()
        if _is_names(value, classes) and any(word in key.lower() for word in CLASS_WORDS)
    }
    return found.pop() if len(found) == 1 else None


def _is_names(value: Any, classes: int) -> bool:
    return isinstance(value, tuple) and len(value) == classes > 0  # pyright: ignore[reportUnknownArgumentType]
