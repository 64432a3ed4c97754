"""When tensors make no network of plusx: the nearest one, and what differs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from plusx.graph import lower
from plusx.names.shapes import COUNTER, read_fields, shortened
from plusx.specs import PRESETS, ResNetSpec, parse
from plusx.weights.candidates import Candidate
from plusx.weights.flattening import FlatFile

Shape = tuple[int, ...]
MOST_BLOCKS = 120


def fitting_spec(shapes: Mapping[str, Shape]) -> tuple[ResNetSpec | None, str]:
    """The spec whose network has exactly these tensors (batch counters aside), or None and what differs from the nearest."""
    try:
        spec = ResNetSpec.from_dict(read_fields(shapes))
    except (KeyError, IndexError, ZeroDivisionError, ValueError):
        near = nearest_preset(shapes.values())
        differs = f"{near} is the nearest, but {differences(shapes, parse(near))}" if near else "no preset is near"
        return None, f"its tensors make no network of plusx: {differs}"
    differs = differences(shapes, spec)
    return (None, f"its tensors nearly make {spec}, but {differs}") if differs else (spec, "")


def differences(shapes: Mapping[str, Shape], spec: ResNetSpec) -> str:
    """What is missing, of another shape or too much, in words; empty where all fits."""
    wanted = {key: tensor.shape for key, tensor in lower(spec).tensors() if not key.endswith(COUNTER)}
    here = {key: shape for key, shape in shapes.items() if not key.endswith(COUNTER)}
    missing = [key for key in wanted if key not in here]
    strange = [key for key in here if key not in wanted]
    other = [key for key in wanted if key in here and wanted[key] != here[key]]
    parts: list[str] = []
    if missing:
        parts.append(f"{shortened(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    if other:
        key = other[0]
        more = f" ({len(other) - 1} more differ)" if other[1:] else ""
        parts.append(f"{key} is {list(here[key])} where {list(wanted[key])} is needed{more}")
    if strange:
        parts.append(f"there is no place for {shortened(strange)}")
    return ", and ".join(parts)


@cache
def _kernels(name: str) -> Counter[Shape]:
    return Counter(tensor.shape for _, tensor in lower(name).tensors() if len(tensor.shape) == 4)


def nearest_preset(shapes: Iterable[Shape], share: float = 0.5) -> str | None:
    """The preset that shares most kernels' shapes with these, or None where none shares more than `share` of them."""
    kernels = Counter(shape for shape in shapes if len(shape) == 4)
    if not kernels:
        return None
    best, score = None, share
    for name in PRESETS:
        if sum(parse(name).depths) > MOST_BLOCKS:
            continue
        wanted = _kernels(name)
        shared = (wanted & kernels).total() / (wanted | kernels).total()
        if shared > score:
            best, score = name, shared
    return best


def nothing_found(path: Path, flat: FlatFile, candidates: list[Candidate]) -> str:
    """The line for a file in which no whole ResNet was found: what it holds instead, and the nearest preset."""
    if not flat.tensors:
        return f"{path} holds no tensors. Give a file of trained weights."
    if any(len(tensor.shape) == 5 for tensor in flat.tensors.values()):
        name = next(name for name, tensor in flat.tensors.items() if len(tensor.shape) == 5)
        return f"{path} holds 3-D kernels ({name}), a network for video or volumes. Plusx's networks are 2-D."
    near = nearest_preset((tensor.shape for tensor in flat.tensors.values()), 0.9 if candidates else 0.5)
    if candidates and near is None:
        part = candidates[0]
        stages = sorted({key.partition(".")[0] for key in part.keys if key.startswith("layer")})
        lacks = [name for name, key in (("a stem", "conv1"), ("layer1", "layer1.0.conv1")) if not _has(part, key)]
        return (
            f"{path} holds a part of a ResNet at {part.path or 'its root'}: {', '.join(stages)} without {' and '.join(lacks)}. "
            "Give the file that holds the rest too."
        )
    if near is None:
        return (
            f"{path} holds no ResNet: {len(flat.tensors)} tensors ({shortened(list(flat.tensors))}). Give another file."
        )
    theirs, ours = next(_first_strange(flat, near), (next(iter(flat.tensors)), "conv1.weight"))
    return (
        f"{path} has kernels of the shapes of {near}, under names that plusx does not know: {theirs} where "
        f"torchvision writes {ours}. Rename its tensors as torchvision does."
    )


def _has(candidate: Candidate, key: str) -> bool:
    return any(name == f"{key}.weight" or name.startswith(f"{key}.") for name in candidate.keys)


def _first_strange(flat: FlatFile, near: str) -> Iterator[tuple[str, str]]:
    """Kernels in order, theirs beside the preset's of the same shape, from the first whose name is another."""
    ours = [(key, tensor.shape) for key, tensor in lower(near).tensors() if len(tensor.shape) == 4]
    theirs = [(name, tensor.shape) for name, tensor in flat.tensors.items() if len(tensor.shape) == 4]
    for (key, shape), (name, other) in zip(ours, theirs, strict=False):
        if shape == other and not re.search(rf"(^|[./]){re.escape(key)}$", name):
            yield name, key
