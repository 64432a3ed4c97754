"""A checkpoint's tensors as plusx's state dict, by exact arithmetic; and what was cast, folded or skipped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import SpecError, WeightsError
from plusx.graph import Graph, lower
from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.names.shapes import COUNTER, shortened
from plusx.specs import ResNetSpec, parse
from plusx.weights.identification.flat_file import FlatFile, flatten
from plusx.weights.identification.identify import identify, read
from plusx.weights.identification.nearest_preset import differences
from plusx.weights.identification.result import Identification
from plusx.weights.identification.tensor_plan import norm_of
from plusx.weights.identification.verdicts import HOW_WORDS
from plusx.weights.stored import StoredFile

Array = NDArray[Any]
EPS = 1e-5
MOST_WORDS = 8


@dataclass(frozen=True, eq=False)
class Translation:
    """A network and its tensors under plusx's names, float32; `notes` say what was cast, folded, filled or skipped."""

    spec: ResNetSpec
    tensors: dict[str, Array]
    notes: tuple[Message, ...]
    identification: Identification


def load_file(
    source: str | Path | StoredFile, *, spec: str | ResNetSpec | None = None, key: str | None = None,
    colour: str | None = None, **fields: Any,
) -> Translation:  # fmt: skip
    """`identify`, then `translate`: the file's network as plusx's. Raises WeightsError, SpecError."""
    stored = read(source)
    return translate(stored, identify(stored, key), spec=spec, colour=colour, **fields)


def settled_spec(found: Identification, spec: str | ResNetSpec | None = None, **fields: Any) -> ResNetSpec:
    """The spec of an identified file, with what it does not show given by `spec` or by single fields.

    Raises WeightsError where the file is refused, a needed field is not given, or what is given has other tensors.
    """
    if found.refuses is not None or found.spec is None:
        raise WeightsError(_("{path} is not a network of plusx: {refuses}.", path=found.path, refuses=found.refuses))
    asked = parse(spec) if isinstance(spec, str) else spec
    given = asked or (found.spec.replace(**fields) if fields else found.spec)
    if asked is not None and fields:
        given = asked.replace(**fields)
    lacking = [] if asked is not None else [name for name in found.needs if name not in fields]
    if lacking:
        name = lacking[0]
        words = [word if "=" in word else f"{name}={word}" for word in found.needs[name]]
        shown = ", ".join(words[:MOST_WORDS]) + (", …" if words[MOST_WORDS:] else "")
        raise WeightsError(
            _(
                "{path} does not show its {name} ({why}). Give one of these words: {words}.",
                path=found.path,
                name=name,
                why=found.fields[name].why,
                words=shown,
            )
        )
    differs = _misfit(found, given)
    if differs:
        raise WeightsError(
            _(
                "{path} holds {spec}, not {given}: {differs}. Give the words of the network in the file.",
                path=found.path,
                spec=found.spec,
                given=given,
                differs=differs,
            )
        )
    return given


def _misfit(found: Identification, given: ResNetSpec) -> str:
    """What keeps the tensors from being those of `given`; a cut net leaves the rest of a file alone."""
    shapes = found.plan.shapes if found.tensors is None else {key: tuple(a.shape) for key, a in found.tensors.items()}
    if given.until is not None:
        wanted = dict(lower(given).tensors())
        shapes = {key: shape for key, shape in shapes.items() if key in wanted}
    if given.norm == "frozen" and found.spec is not None and found.spec.norm == "batch":
        shapes = {key: shape for key, shape in shapes.items() if not key.endswith(COUNTER)}
    return differences(shapes, given)


def translate(
    stored: StoredFile, found: Identification, *, spec: str | ResNetSpec | None = None, colour: str | None = None,
    **fields: Any,
) -> Translation:  # fmt: skip
    """The tensors of an identified file under plusx's names and conventions.

    `spec` or single fields (`norm="group8"`) give what the file does not show. `colour="RGB"` turns a network for BGR images
    into one for RGB images. Raises WeightsError.
    """
    given = settled_spec(found, spec, **fields)
    graph = lower(given)
    notes = list(found.notes)
    if found.tensors is not None:
        tensors = {key: np.array(found.tensors[key], order="C") for key, _ in graph.tensors() if key in found.tensors}
    else:
        tensors = _Arithmetic(flatten(stored), found, notes).tensors(graph)
    for key, tensor in graph.tensors():
        if tensor.name.endswith(COUNTER) and key not in tensors:
            tensors[key] = np.array(0, np.int64)
    _turn_colours(tensors, graph, found, colour, notes)
    behind = sorted(key for key in found.plan.keys if key not in tensors and not key.endswith((COUNTER, ".bias")))
    if behind:
        notes.append(_("skipped: {names}", names=shortened(behind)))
    return Translation(given, {key: tensors[key] for key, _ in graph.tensors()}, tuple(notes), found)


class _Arithmetic:
    """What turns stored values into plusx's; sums and products are computed in float64 and rounded once."""

    def __init__(self, flat: FlatFile, found: Identification, notes: list[Message]) -> None:
        self.flat, self.plan, self.naming, self.notes = flat, found.plan, found.naming, notes
        self.eps = found.eps
        self.cast: dict[str, int] = {}

    def tensors(self, graph: Graph) -> dict[str, Array]:
        made: dict[str, Array] = {}
        folded = {norm_of(conv, self.plan.shapes): conv for conv in self.plan.folded}
        for key, tensor in graph.tensors():
            if key in self.plan.filled:
                made[key] = np.full(tensor.shape, self.plan.filled[key], np.float32)
            elif key in self.plan.keys:
                made[key] = self._read(key, tensor.shape)
        for norm, name in self.plan.factors.items():
            factor = float(self.flat.tensors[name].array().reshape(-1)[0])
            for part in ("running_mean", "running_var"):
                if f"{norm}.{part}" in made:
                    made[f"{norm}.{part}"] = _rounded(
                        made[f"{norm}.{part}"] * np.float64(0 if factor == 0 else 1 / factor)
                    )
        for norm, conv in folded.items():
            if f"{norm}.running_mean" in made:
                bias = np.asarray(self.flat.tensors[self.plan.keys[f"{conv}.bias"]].array(), np.float64)
                made[f"{norm}.running_mean"] = _rounded(made[f"{norm}.running_mean"].astype(np.float64) - bias)
        self._rescale(made)
        self.notes += [
            _("{count} tensors were stored as {kind} and are float32 now", count=count, kind=kind)
            for kind, count in self.cast.items()
        ]
        return made

    def _read(self, key: str, shape: tuple[int, ...]) -> Array:
        stored = self.flat.tensors[self.plan.keys[key]]
        values = stored.array()
        if key.endswith(COUNTER):
            return values.astype(np.int64).reshape(shape) if values.size == 1 else np.zeros(shape, np.int64)
        if stored.dtype != "float32":
            self.cast[stored.dtype] = self.cast.get(stored.dtype, 0) + 1
        if values.ndim == 4 and self.naming is not None and self.naming.kernel == "HWIO":
            values = values.transpose(3, 2, 0, 1)
        if key == "fc.weight" and values.ndim == 2 and self.naming is not None and self.naming.dense == "IO":
            values = values.T
        with np.errstate(over="ignore"):
            return np.array(values, np.float32, order="C").reshape(shape)

    def _rescale(self, made: dict[str, Array]) -> None:
        """Scales with plusx's eps so that they compute what they did with the file's: γ·sqrt((σ²+1e-5)/(σ²+eps))."""
        changed = 0
        for key in [key for key in made if key.endswith(".running_var")]:
            norm = key.removesuffix(".running_var")
            eps = self.eps.get(norm, self.eps.get("", EPS))
            if eps != EPS and key not in self.plan.filled:
                var = made[key].astype(np.float64)
                made[f"{norm}.weight"] = _rounded(made[f"{norm}.weight"] * np.sqrt((var + EPS) / (var + eps)))
                changed += 1
        if changed:
            self.notes.append(_("scales of {changed} norms were fitted to eps 1e-5", changed=changed))
        alone = [norm for norm in self.eps if norm and f"{norm}.running_var" not in made and f"{norm}.weight" in made]
        if alone:
            raise WeightsError(
                _(
                    "{norm} has eps {eps:g} and no statistics to fit to plusx's eps 1e-5. Use a file with eps 1e-5.",
                    norm=alone[0],
                    eps=self.eps[alone[0]],
                )
            )


def _rounded(values: Array) -> Array:
    return values.astype(np.float32)


def _turn_colours(
    tensors: dict[str, Array], graph: Graph, found: Identification, colour: str | None, notes: list[Message]
) -> None:
    if colour is None or colour == found.colour.value or graph.spec.in_channels != 3:
        return
    if colour not in ("RGB", "BGR"):
        raise SpecError(_("colour={colour!r} is no order of channels. Write RGB or BGR.", colour=colour))
    key = f"{graph.stem[0].path}.weight"
    tensors[key] = np.ascontiguousarray(tensors[key][:, ::-1])
    notes.append(
        _(
            "the first kernels were turned from {stored} to {colour} ({how})",
            stored=found.colour.value,
            colour=colour,
            how=HOW_WORDS[found.colour.how],
        )
    )


def fold_std(made: Translation, pre: Preprocessing) -> tuple[Translation, Preprocessing]:
    """The network with scale and deviation in its first kernels, and the preprocessing that is left: images minus a mean.

    Exact, borders too, since zeros that pad stay zeros. A mean cannot be folded: at borders the padding would then be seen.
    Raises WeightsError where the preprocessing has other channels than the network.
    """
    if pre.channels != made.spec.in_channels:
        raise WeightsError(
            _(
                "{spec} takes {in_channels} channels and the preprocessing makes {channels}. Give one of as many.",
                spec=made.spec,
                in_channels=made.spec.in_channels,
                channels=pre.channels,
            )
        )
    key = f"{lower(made.spec).stem[0].path}.weight"
    factors = np.array([pre.scale / std for std in pre.std])[:, None, None]
    tensors = made.tensors | {key: (made.tensors[key] * factors).astype(np.float32)}
    left = replace(pre, scale=1.0, mean=tuple(mean / pre.scale for mean in pre.mean), std=(1.0,) * pre.channels)
    note = _("scale and deviation of the input are in the first kernels, and its mean is still to be subtracted")
    return replace(made, tensors=tensors, notes=(*made.notes, note)), left
