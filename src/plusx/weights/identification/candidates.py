"""Every place of a file where a ResNet lies: found by what its tensors are called, whatever stands before their names."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plusx.errors import WeightsError
from plusx.i18n import Message, _, joined
from plusx.weights.families import NAMINGS, Naming, Rule
from plusx.weights.families.surroundings import TRAINING_STATE
from plusx.weights.identification.flat_file import FlatFile
from plusx.weights.identification.renumbering import straighten


@dataclass(frozen=True, eq=False)
class Candidate:
    """A ResNet's tensors in a file: `keys` maps plusx's names to whole paths, `strangers` lie in its blocks and are unknown."""

    prefix: str
    naming: Naming
    keys: dict[str, str]
    strangers: tuple[str, ...]

    @property
    def path(self) -> str:
        """What `key=` names: the prefix without its last dot; empty at the root of the file."""
        return self.prefix.rstrip("./")

    def shapes(self, flat: FlatFile) -> dict[str, tuple[int, ...]]:
        """Plusx's key to shape, axes in torch's order."""
        return {key: self.naming.shape(key, flat.tensors[name].shape) for key, name in self.keys.items()}

    @property
    def complete(self) -> bool:
        """Whether a stem and a first block are there."""
        stem = "conv1.weight" in self.keys or "conv1.0.weight" in self.keys
        return stem and "layer1.0.conv1.weight" in self.keys

    def common(self, flat: FlatFile) -> tuple[str, str]:
        """(wrapper, prefix): the dicts that hold all its tensors, and what their names begin with."""
        holders = [flat.parents[name] for name in self.keys.values()]
        depth = 0
        while all(len(path) > depth and path[depth] == holders[0][depth] for path in holders):
            depth += 1
        wrapper = ".".join(holders[0][:depth])
        return (
            (wrapper, self.prefix[len(wrapper) + 1 :]) if self.prefix.startswith(f"{wrapper}.") else ("", self.prefix)
        )


def find(flat: FlatFile) -> list[Candidate]:
    """All candidates, complete ones first, in the file's order."""
    names = sorted(flat.tensors)
    order = {name: number for number, name in enumerate(flat.tensors)}
    found: dict[str, Candidate] = {}
    for naming in NAMINGS:
        prefixes = dict.fromkeys(
            prefix
            for name, tensor in flat.tensors.items()
            if len(tensor.shape) >= 4 and (prefix := naming.prefix(naming.clean(name))) is not None
        )
        for prefix in prefixes:
            candidate = _read(flat, naming, prefix, sorted(_under(names, prefix), key=order.__getitem__))
            if prefix not in found or len(found[prefix].keys) < len(candidate.keys):
                found[prefix] = candidate
    return sorted(found.values(), key=lambda c: (not c.complete, min(order[name] for name in c.keys.values())))


def _under(names: Sequence[str], prefix: str) -> Sequence[str]:
    """The names that begin with `prefix`; `names` is sorted."""
    start = bisect_left(names, prefix)
    end = start
    while end < len(names) and names[end].startswith(prefix):
        end += 1
    return names[start:end]


def _read(flat: FlatFile, naming: Naming, prefix: str, names: Sequence[str]) -> Candidate:
    keys: dict[str, str] = {}
    twice: set[str] = set()
    unread: list[str] = []
    for name in names:
        local = naming.clean(name)[len(prefix) :]
        read = naming.read(local, len(flat.tensors[name].shape))
        if read is None:
            unread.append(name)
        elif read[0] in keys:
            twice.add(read[0])
            unread.append(name)
        else:
            keys[read[0]] = name
    shapes = {key: naming.shape(key, flat.tensors[name].shape) for key, name in keys.items()}
    straight = {new: keys[old] for new, old in straighten(shapes).items()}
    dropped = set(keys.values()) - set(straight.values())
    _take_head(flat, naming, prefix, straight, twice)
    inside = (name for name in (*unread, *sorted(dropped)) if naming.inside.match(naming.clean(name)[len(prefix) :]))
    taken = set(straight.values())
    strangers = tuple(name for name in inside if name not in taken and not TRAINING_STATE.search(name))
    return Candidate(prefix, naming, straight, strangers)


def _take_head(flat: FlatFile, naming: Naming, prefix: str, keys: dict[str, str], twice: set[str]) -> None:
    """Puts `fc` among the keys: the one under the prefix, or one beside it; it must take the last stage's channels."""
    shapes = {key: naming.shape(key, flat.tensors[name].shape) for key, name in keys.items()}
    channels = last_channels(shapes)
    if "fc.weight" in keys and ("fc.weight" in twice or shapes["fc.weight"][1] != channels):
        for key in ("fc.weight", "fc.bias"):
            keys.pop(key, None)
        return
    if "fc.weight" in keys or not naming.beside:
        return
    for parent in _parents(prefix):
        for rule in naming.beside:
            name = _beside(flat, parent, rule, channels)
            if name:
                keys["fc.weight"] = name
                bias = f"{name[: -len('weight')]}bias"
                if bias in flat.tensors:
                    keys["fc.bias"] = bias
                return


def _beside(flat: FlatFile, parent: str, rule: Rule, channels: int) -> str | None:
    if rule.role != "fc" or rule.tensor != "weight":
        return None
    name = parent + rule.template
    tensor = flat.tensors.get(name)
    return name if tensor is not None and len(tensor.shape) in (2, 4) and tensor.shape[1] == channels else None


def _parents(prefix: str) -> Iterable[str]:
    """The prefix, and what it lies in: `a.b.` gives `a.b.`, `a.` and nothing."""
    parts = prefix.rstrip(".").split(".") if prefix else []
    for length in range(len(parts), -1, -1):
        yield "".join(f"{part}." for part in parts[:length])


def last_channels(shapes: dict[str, tuple[int, ...]]) -> int:
    """What the last convolution of the last stage gives; 0 where there is none."""
    best = max(
        (
            (int(found[1]), int(found[2]), int(found[3]), key)
            for key in shapes
            if (found := re.fullmatch(r"layer(\d)\.(\d+)\.conv(\d)\.weight", key))
        ),
        default=None,
    )
    return 0 if best is None else shapes[best[3]][0]


def choose(
    flat: FlatFile, candidates: list[Candidate], key: str | None, path: Path
) -> tuple[Candidate, list[Candidate]]:
    """The candidate that `key` names, or the only one; and others that hold the same values. Raises WeightsError."""
    able = [candidate for candidate in candidates if candidate.complete]
    if key is not None:
        able = _named(candidates, key, path)
    first, *others = able
    differing = [other for other in others if not _equal(flat, first, other)]
    if differing:
        names = [_named_path(candidate) for candidate in (first, *differing)]
        raise WeightsError(
            _(
                "{path} holds {count} networks that differ: {paths}. Choose one with --key, such as --key {path_of_one} (in Python: key=).",
                path=path,
                count=len(names),
                paths=joined(", ", names),
                path_of_one=differing[0].path or first.path,
            )
        )
    return first, others


def _named(candidates: list[Candidate], key: str, path: Path) -> list[Candidate]:
    """Those at `key`, or, if none is, those whose path has its parts in it."""
    wanted = key.rstrip(".")
    found = [candidate for candidate in candidates if candidate.path == wanted]
    found = found or [c for c in candidates if f".{wanted}." in f".{c.path}."]
    if not found:
        there = joined(", ", map(_named_path, candidates))
        raise WeightsError(
            _("{path} has no network at {key!r}. It has networks at: {there}.", path=path, key=key, there=there)
        )
    return found


def _named_path(candidate: Candidate) -> Message:
    return Message(candidate.path) if candidate.path else _("the root")


def _equal(flat: FlatFile, one: Candidate, other: Candidate) -> bool:
    if one.keys.keys() != other.keys.keys():
        return False
    pairs = [
        (flat.tensors[one.keys[key]], flat.tensors[other.keys[key]]) for key in one.keys if not key.endswith("_tracked")
    ]
    return all(
        a is b or (a.shape == b.shape and np.array_equal(a.array(), b.array(), equal_nan=True)) for a, b in pairs
    )
