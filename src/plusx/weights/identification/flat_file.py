"""A file's tree as one level: every tensor and every plain value under its whole path, parts joined by dots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.weights.stored import StoredFile, StoredTensor

MOST_DEPTH = 64
MOST_LEAVES = 500_000
MOST_FACTS = 20_000
LONGEST_TEXT = 200_000


@dataclass(frozen=True, eq=False)
class FlatFile:
    """All tensors and plain values of a file by path; `parents` gives the keys of the dicts that hold each tensor."""

    tensors: dict[str, StoredTensor]
    parents: dict[str, tuple[str, ...]]
    facts: dict[str, Any]
    notes: list[Message] = field(default_factory=list)


def flatten(stored: StoredFile) -> FlatFile:
    """The file's tensors and plain values by path; pruned tensors are multiplied with their masks. Raises WeightsError."""
    flat = FlatFile({}, {}, dict(stored.metadata))
    for path, value in _leaves(stored):
        name = ".".join(path)
        if isinstance(value, StoredTensor):
            flat.tensors[name] = value
            flat.parents[name] = path[:-1]
        elif len(flat.facts) < MOST_FACTS:
            flat.facts[name] = value
    _unprune(flat)
    return flat


def _leaves(stored: StoredFile) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Tensors, and text, numbers and lists of text, with their paths, in the file's order."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), stored.tree)]
    seen = 0
    while waiting:
        path, value = waiting.pop()
        seen += 1
        if len(path) > MOST_DEPTH or seen > MOST_LEAVES:
            raise WeightsError(
                _(
                    "{path} nests deeper than {most_depth} levels or holds more than {most_leaves} entries. Use another copy.",
                    path=stored.path,
                    most_depth=MOST_DEPTH,
                    most_leaves=MOST_LEAVES,
                )
            )
        if isinstance(value, StoredTensor):
            yield path, value
        elif isinstance(value, Mapping):
            entries = cast("Mapping[object, Any]", value).items()
            waiting += [((*path, str(key)), entry) for key, entry in reversed(list(entries))]
        elif isinstance(value, list | tuple):
            entries = cast("list[Any]", list(cast("tuple[Any, ...]", value)))
            if entries and all(isinstance(entry, str) for entry in entries):
                yield path, tuple(entries)
            else:
                waiting += [((*path, str(number)), entry) for number, entry in reversed(list(enumerate(entries)))]
        elif isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= LONGEST_TEXT):
            yield path, value


def _unprune(flat: FlatFile) -> None:
    """`weight` from torch's `weight_orig` and `weight_mask`: their product is what a pruned layer computes with, exactly."""
    pruned = [
        name for name in flat.tensors if name.endswith("_orig") and f"{name[: -len('_orig')]}_mask" in flat.tensors
    ]
    for name in pruned:
        plain = name.removesuffix("_orig")
        values, mask = flat.tensors[name], flat.tensors[f"{plain}_mask"]
        if values.shape != mask.shape or plain in flat.tensors:
            raise WeightsError(
                _(
                    "{name} has shape {shape} and its mask {mask_shape}. Use another copy.",
                    name=name,
                    shape=list(values.shape),
                    mask_shape=list(mask.shape),
                )
            )
        flat.tensors[plain] = StoredTensor(values.shape, values.dtype, _product(values, mask))
        flat.parents[plain] = flat.parents[name]
        del flat.tensors[name], flat.tensors[f"{plain}_mask"]
    if pruned:
        flat.notes.append(
            _("{count} pruned tensors were multiplied with their masks ({name}, …)", count=len(pruned), name=pruned[0])
        )


def _product(values: StoredTensor, mask: StoredTensor) -> Any:
    def load() -> NDArray[Any]:
        array = values.array()
        return array * mask.array().astype(array.dtype)

    return load


def number_kind(tensor: StoredTensor) -> str:
    """`float`, `int` or `other`: what a stored type is for arithmetic."""
    if tensor.dtype.startswith(("float", "bfloat")):
        return "float"
    try:
        return {"f": "float", "i": "int", "u": "int"}.get(np.dtype(tensor.dtype).kind, "other")
    except TypeError:
        return "other"
