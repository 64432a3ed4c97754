"""Plusx's tensors for other systems: renamed, folded and turned exactly, written, read back and proven."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import SpecError, WeightsError, unknown
from plusx.files import json_text
from plusx.graph import lower
from plusx.i18n import Message, _
from plusx.names import key_names
from plusx.specs import ResNetSpec
from plusx.weights.conversion.target_systems import READ_ONLY, TARGETS, Converted, Target, expressible, unfolded
from plusx.weights.conversion.translate import EPS, Translation, load_file
from plusx.weights.conversion.writers import WRITERS
from plusx.weights.identification.identify import read
from plusx.weights.identification.tensor_plan import norm_of
from plusx.weights.stored import StoredFile

Array = NDArray[Any]
Tensors = dict[str, Array]
KERAS_EPS = 1.001e-5
SCHEMA = "plusx.convert/1"
PROOF, EXTRA = "proof.json", "extra.safetensors"


def target_of(to: str) -> Target:
    """The target of this name. Raises SpecError."""
    if to in READ_ONLY:
        raise SpecError(
            _(
                "{to} files are only read: {why}. Convert to one of {targets}.",
                to=to,
                why=READ_ONLY[to],
                targets=", ".join(TARGETS),
            )
        )
    if to not in TARGETS:
        raise SpecError(unknown("target", to, TARGETS))
    return TARGETS[to]


def convert(made: Translation, to: str) -> Converted:
    """A translated network's tensors for another system. Raises WeightsError where it has no such network, SpecError."""
    target = target_of(to)
    answer, why = expressible(made.spec, target)
    if answer == "refused":
        raise WeightsError(
            _(
                "{path} is {spec}, and {to} cannot hold it: {why}. Convert it to plusx.",
                path=made.identification.path,
                spec=made.spec,
                to=to,
                why=why,
            )
        )
    spec, notes = made.spec, list(made.notes)
    tensors = dict(made.tensors)
    if not target.ecosystem:
        known = made.identification.preprocessing
        return Converted(spec, target, tensors, {key: key for key in tensors}, tuple(notes), known)
    if answer == "after folding":
        spec, tensors = unfolded(spec, target)[0], fold(spec, tensors, unfolded(spec, target)[0])
        notes.append(why)
    names = {key: name for key, name in key_names(spec, target.ecosystem).items() if key in tensors}
    theirs = {name: tensors[key] for key, name in names.items()}
    if target.name == "timm" and spec.order == "pre" and "head.fc.weight" in theirs:
        theirs["head.fc.weight"] = theirs["head.fc.weight"][:, :, None, None]  # its v2 nets end in a 1x1 convolution
    if target.name == "keras":
        theirs = _for_keras(spec, tensors, names, notes)
    left = [key for key in tensors if key not in names and not key.endswith("num_batches_tracked")]
    if left:
        notes.append(
            _(
                "{names} stay in {extra}, since {target} names no head",
                names=", ".join(left),
                extra=EXTRA,
                target=target.name,
            )
        )
    return Converted(spec, target, theirs, names, tuple(notes))


def fold(spec: ResNetSpec, tensors: Tensors, wanted: ResNetSpec) -> Tensors:
    """The tensors of `wanted`, which is `spec` with norms for biases, or with the stem's bias in its norm's mean."""
    made: Tensors = {}
    shapes = {key: tensor.shape for key, tensor in lower(wanted).tensors()}
    fresh = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - EPS, "num_batches_tracked": 0}
    for key, tensor in lower(wanted).tensors():
        kind = np.int64 if tensor.name == "num_batches_tracked" else np.float32
        made[key] = tensors[key] if key in tensors else np.full(tensor.shape, fresh[tensor.name], kind)
    for key in tensors.keys() - made.keys():
        conv, norm = key.removesuffix(".bias"), norm_of(key.removesuffix(".bias"), shapes)
        if spec.norm == "none":
            made[f"{norm}.bias"] = np.asarray(tensors[key], np.float32)
        else:
            mean = made[f"{norm}.running_mean"].astype(np.float64) - np.asarray(tensors[f"{conv}.bias"], np.float64)
            made[f"{norm}.running_mean"] = mean.astype(np.float32)
    return made


def _for_keras(spec: ResNetSpec, tensors: Tensors, names: Mapping[str, str], notes: list[Message]) -> Tensors:
    """Kernels HWIO, dense matrices transposed, a bias for every convolution, and scales for Keras's eps."""
    theirs: Tensors = {}
    for key, name in names.items():
        values = tensors[key]
        if values.ndim == 4:
            values = values.transpose(2, 3, 1, 0)
            theirs.setdefault(name.replace("/kernel", "/bias"), np.zeros(values.shape[-1], np.float32))
        elif values.ndim == 2:
            values = values.T
        elif f"{key.removesuffix('.weight')}.running_var" in tensors and key.endswith(".weight"):
            var = tensors[f"{key.removesuffix('.weight')}.running_var"].astype(np.float64)
            values = (values * np.sqrt((var + KERAS_EPS) / (var + EPS))).astype(np.float32)
        theirs[name] = np.ascontiguousarray(values)
    notes.append(
        _(
            "scales were fitted to Keras's eps {keras_eps}, and every convolution got a bias of zeros",
            keras_eps=KERAS_EPS,
        )
    )
    return theirs


def convert_file(
    source: str | Path | StoredFile, to: str, out: str | Path, *, spec: str | ResNetSpec | None = None,
    key: str | None = None, colour: str | None = None, on_note: Callable[[Message], None] | None = None, **fields: Any,
) -> Path:  # fmt: skip
    """Convert a checkpoint and write it: the target's file or directory at `out`, with proof and foreign tensors beside it.

    The written file is read back and compared before the proof is written. `on_note` is called with each thing that a reader
    of the new file should know; the proof lists them too. Raises WeightsError, SpecError, RunError.
    """
    stored, target, out = read(source), target_of(to), Path(out)
    if to == "keras" and out.name.endswith(".weights.h5"):
        raise WeightsError(
            _(
                "-o {out} has the ending of Keras 3's own layout, and the file is in that of keras.applications. Name it {name}.",
                out=out,
                name=f"{out.name.removesuffix('.weights.h5')}.h5",
            )
        )
    if out.suffix not in target.suffixes:
        wanted = (
            Message(", ".join(target.suffixes)) if any(target.suffixes) else _("no ending, since it is a directory")
        )
        raise WeightsError(
            _("-o {out} is not a name for a {to} file. Use this ending: {wanted}.", out=out, to=to, wanted=wanted)
        )
    if not target.ecosystem:
        colour = "RGB"  # plusx's own files are for RGB images
    made = load_file(stored, spec=spec, key=key, colour=colour, **fields)
    if made.identification.colour.value == "BGR" and colour is None and made.spec.in_channels == 3:
        made = replace(made, notes=(*made.notes, _("its input is BGR images, as in the file")))
    if to == "keras" and (colour or made.identification.colour.value) == "RGB" and made.spec.in_channels == 3:
        note = _("its input is RGB images, where preprocess_input of keras.applications.resnet makes BGR ones")
        made = replace(made, notes=(*made.notes, note))
    if to == "detectron2":
        made = replace(
            made, notes=(*made.notes, _for_detectron2(made, colour or str(made.identification.colour.value)))
        )
    converted = convert(made, to)
    if on_note is not None:
        for text in converted.notes:
            on_note(text)
    from plusx.bundles.atomic import write_file
    from plusx.bundles.serialisation import tensors_to_bytes

    written = WRITERS[to](converted, out)
    largest = _read_back(converted, made, out)
    extra = _extra(stored, made, converted)
    beside = out if out.is_dir() else out.parent
    stem = "" if out.is_dir() else f"{out.name}."
    if extra:
        write_file(beside / f"{stem}{EXTRA}", tensors_to_bytes(extra))
    proof = _proof(made, converted, written, largest, sorted(extra))
    write_file(beside / f"{stem}{PROOF}", f"{json_text(proof, 1)}\n".encode())
    return out


def _for_detectron2(made: Translation, colour: str) -> Message:
    """What its config needs, since its files do not hold it (detectron2 config/defaults.py: BGR, STRIDE_IN_1X1 True)."""
    first = made.spec.block == "basic" or made.spec.stride_in == "1x1"
    return _(
        "detectron2 needs INPUT.FORMAT {colour} and RESNETS.STRIDE_IN_1X1 {first} in its config",
        colour=colour,
        first=first,
    )


def _read_back(converted: Converted, made: Translation, out: Path) -> float:
    """The largest difference between what was written, read back, and what was to be written. Raises WeightsError."""
    path = out / "model.safetensors" if out.is_dir() else out
    spec = made.spec if converted.target.name == "keras" else converted.spec
    spec = spec if converted.target.has_head else spec.replace(classes=0)
    back = load_file(path, spec=spec) if converted.target.ecosystem else load_file(path)
    largest = largest_difference(made.spec, made.tensors, back.spec, back.tensors)
    if not largest <= 1e-4:
        raise WeightsError(
            _(
                "{out} was written and reads back with a difference of {largest:.3g}. Report this as a fault of plusx.",
                out=out,
                largest=largest,
            )
        )
    return largest


def largest_difference(one: ResNetSpec, a: Mapping[str, Array], other: ResNetSpec, b: Mapping[str, Array]) -> float:
    """How far two states of one network are apart, wherever norms or biases hold their numbers: of all kernels, scales and shifts.

    Each tensor's difference is relative to its largest number.
    """
    left, right = effective(one, a), effective(other, b)
    differences = [0.0]
    apart = {key for key in left.keys() ^ right.keys() if not key.startswith("fc.")}
    if apart:
        return float("inf")
    for key in left.keys() & right.keys():
        size = float(np.abs(left[key]).max(initial=0.0)) or 1.0
        differences.append(float(np.abs(left[key] - right[key]).max(initial=0.0)) / size)
    return max(differences)


def effective(spec: ResNetSpec, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """What a post-activation net's convolutions and norms compute together: kernels, scales, shifts; else all tensors."""
    shapes = {key: tuple(values.shape) for key, values in tensors.items()}
    found: dict[str, Array] = {}
    for key, values in tensors.items():
        conv = key.removesuffix(".weight")
        norm = norm_of(conv, shapes) if values.ndim == 4 and spec.order == "post" and ".se." not in key else ""
        if key.endswith("num_batches_tracked"):
            continue
        found[key] = values.astype(np.float64)
        if values.ndim != 4 or not norm:
            continue
        bias = np.asarray(tensors.get(f"{conv}.bias", np.zeros(len(values))), np.float64)
        scale, shift = np.ones(len(values)), bias
        if f"{norm}.running_var" in tensors:
            scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"].astype(np.float64) + EPS)
            shift = (bias - tensors[f"{norm}.running_mean"]) * scale + tensors[f"{norm}.bias"]
        elif spec.norm.startswith("group"):
            scale, shift = tensors[f"{norm}.weight"].astype(np.float64), tensors[f"{norm}.bias"].astype(np.float64)
        found[f"{conv} scale"], found[f"{conv} shift"] = scale, shift
    return {
        key: values
        for key, values in found.items()
        if values.ndim != 1 or " " in key or key.startswith("fc") or spec.order == "pre"
    }


def _extra(stored: StoredFile, made: Translation, converted: Converted) -> Tensors:
    """Foreign tensors of the file, and those of the network that the target has no name for."""
    from plusx.weights.identification.flat_file import flatten

    found = {key: made.tensors[key] for key in made.tensors if key.startswith("fc.") and key not in converted.names}
    if made.identification.tensors is None:
        flat = flatten(stored)
        for group in made.identification.set_aside:
            found |= {key: np.asarray(flat.tensors[key].array()) for key in group.keys if key in flat.tensors}
    return {key: np.ascontiguousarray(values) for key, values in found.items() if values.dtype.kind in "fiub"}


def _proof(
    made: Translation, converted: Converted, written: list[Path], largest: float, extra: list[str]
) -> dict[str, Any]:
    found = made.identification
    return {
        "schema": SCHEMA, "from": {"file": found.path.name, "sha256": found.sha256, "family": found.family, "key": found.key},
        "to": converted.target.name, "spec": str(made.spec), "written_as": str(converted.spec),
        "files": {path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in written},
        "map": {found.plan.keys.get(key, key): name for key, name in converted.names.items()},
        "notes": list(converted.notes), "extra": extra, "largest_difference": largest,
        "largest_difference_of": "kernels, scales and shifts, read back, relative to each tensor's largest number",
    }  # fmt: skip
