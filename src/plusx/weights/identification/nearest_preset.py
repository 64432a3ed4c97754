"""When tensors make no network of plusx: the nearest one, and what differs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from plusx.graph import lower
from plusx.i18n import Message, _, _n, joined
from plusx.names.shapes import COUNTER, read_fields, shortened
from plusx.specs import PRESETS, ResNetSpec, parse
from plusx.weights.identification.candidates import Candidate
from plusx.weights.identification.flat_file import FlatFile

Shape = tuple[int, ...]
MOST_BLOCKS = 120
NOTHING = Message("")


def fitting_spec(shapes: Mapping[str, Shape]) -> tuple[ResNetSpec | None, Message]:
    """The spec whose network has exactly these tensors (batch counters aside), or None and what differs from the nearest."""
    try:
        spec = ResNetSpec.from_dict(read_fields(shapes))
    except (KeyError, IndexError, ZeroDivisionError, ValueError):
        near = nearest_preset(shapes.values())
        differs = (
            _("{near} is the nearest, but {differs}", near=near, differs=differences(shapes, parse(near)))
            if near
            else _("no preset is near")
        )
        return None, _("its tensors make no network of plusx: {differs}", differs=differs)
    differs = differences(shapes, spec)
    return (
        (None, _("its tensors nearly make {spec}, but {differs}", spec=spec, differs=differs))
        if differs
        else (spec, NOTHING)
    )


def differences(shapes: Mapping[str, Shape], spec: ResNetSpec) -> Message:
    """What is missing, of another shape or too much, in words; empty where all fits."""
    wanted = {key: tensor.shape for key, tensor in lower(spec).tensors() if not key.endswith(COUNTER)}
    here = {key: shape for key, shape in shapes.items() if not key.endswith(COUNTER)}
    missing = [key for key in wanted if key not in here]
    strange = [key for key in here if key not in wanted]
    other = [key for key in wanted if key in here and wanted[key] != here[key]]
    parts: list[Message] = []
    if missing:
        parts.append(_n("{names} is missing", "{names} are missing", len(missing), names=shortened(missing)))
    if other:
        key = other[0]
        one = _("{key} is {shape} where {wanted} is needed", key=key, shape=list(here[key]), wanted=list(wanted[key]))
        parts.append(_("{one} ({count} more differ)", one=one, count=len(other) - 1) if other[1:] else one)
    if strange:
        parts.append(_("there is no place for {names}", names=shortened(strange)))
    if len(parts) < 2:
        return parts[0] if parts else NOTHING
    return _(
        "{first}, and {rest}",
        first=parts[0],
        rest=parts[1] if len(parts) == 2 else _("{first}, and {rest}", first=parts[1], rest=parts[2]),
    )


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


def nothing_found(path: Path, flat: FlatFile, candidates: list[Candidate]) -> Message:
    """The line for a file without a whole ResNet: what it holds instead, and the nearest preset."""
    if not flat.tensors:
        return _("{path} holds no tensors. Give a file of trained weights.", path=path)
    if any(len(tensor.shape) == 5 for tensor in flat.tensors.values()):
        name = next(name for name, tensor in flat.tensors.items() if len(tensor.shape) == 5)
        return _(
            "{path} holds 3-D kernels ({name}), a network for video or volumes. Give a file of a 2-D network.",
            path=path,
            name=name,
        )
    near = nearest_preset((tensor.shape for tensor in flat.tensors.values()), 0.9 if candidates else 0.5)
    if candidates and near is None:
        part = candidates[0]
        stages = sorted({key.partition(".")[0] for key in part.keys if key.startswith("layer")})
        parts = ((_("a stem"), "conv1"), (Message("layer1"), "layer1.0.conv1"))
        lacks = [name for name, key in parts if not _has(part, key)]
        return _(
            "{path} holds a part of a ResNet at {place}: {stages} without {missing}. Give the file that holds the rest too.",
            path=path,
            place=part.path or _("its root"),
            stages=", ".join(stages),
            missing=joined(", ", lacks),
        )
    if near is None:
        return _(
            "{path} holds no ResNet: {count} tensors ({names}). Give another file.",
            path=path,
            count=len(flat.tensors),
            names=shortened(list(flat.tensors)),
        )
    theirs, ours = next(_first_strange(flat, near), (next(iter(flat.tensors)), "conv1.weight"))
    return _(
        "{path} has kernels of the shapes of {near} under unknown names: {theirs} where torchvision writes {ours}. Rename its tensors as torchvision does.",
        path=path,
        near=near,
        theirs=theirs,
        ours=ours,
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
