"""An ONNX file as an identification, read from its graph."""

from __future__ import annotations

from collections import Counter

from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.specs import KEYS, ResNetSpec
from plusx.weights.identification.result import Identification
from plusx.weights.identification.set_aside import TensorGroup
from plusx.weights.identification.suspicious_values import suspicious_arrays
from plusx.weights.identification.tensor_plan import TensorPlan
from plusx.weights.identification.verdicts import TRAINING, Verdict
from plusx.weights.onnx_graphs.recognition import GraphInput, recognise_onnx
from plusx.weights.stored import StoredFile

GRAPH = _("the graph")
BYTES = 1.5
"""Means above it belong to images from 0 to 255."""


def identify_onnx(stored: StoredFile) -> Identification:
    """What the file's graph is. Raises WeightsError for graphs of other networks."""
    network = recognise_onnx(stored)
    producer = stored.metadata.get("producer_name", "")
    preprocessing, source = _preprocessing(network.input, network.spec)
    return Identification(
        path=stored.path, container=stored.container, family=Message("ONNX"),
        family_why=_("a graph by {producer}", producer=producer) if producer else _("a graph"), spec=network.spec,
        fields=_verdicts(network.spec, dict(network.known)), needs={}, wrapper="", prefix="", others=(),
        set_aside=tuple(TensorGroup(line, ()) for line in network.set_aside), classes=None,
        dtypes=Counter(str(array.dtype) for array in network.tensors.values()),
        suspicious=suspicious_arrays(network.tensors), notes=(_("the graph gives {output}", output=network.output),), sha256=None,
        colour=_colour(network.input), preprocessing=preprocessing, preprocessing_source=source, plan=TensorPlan({}, {}),
        tensors=network.tensors,
    )  # fmt: skip


def _verdicts(spec: ResNetSpec, known: dict[str, Message]) -> dict[str, Verdict]:
    names = [name for name in KEYS if name not in TRAINING]
    return {name: Verdict(getattr(spec, name), "known", known.get(name, GRAPH)) for name in names}


def _colour(given: GraphInput) -> Verdict:
    if given.channels == (2, 1, 0):
        return Verdict(
            "BGR", "convention", _("the graph swaps the first and the last channel, so it takes RGB images itself")
        )
    return Verdict("RGB", "unknown", _("a graph does not show the order of its channels"))


def _preprocessing(given: GraphInput, spec: ResNetSpec) -> tuple[Preprocessing | None, str]:
    """The graph's own mean and deviation, where it has them and the network takes three channels."""
    if spec.in_channels != 3 or given.mean is None:
        return None, ""
    size = min(given.size) if given.size else 224
    mean = given.mean if len(given.mean) == 3 else given.mean * 3
    std = given.std or (1.0, 1.0, 1.0)
    std = std if len(std) == 3 else std * 3
    if given.channels == (2, 1, 0):
        mean, std = mean[::-1], std[::-1]
    scale = 1.0 if max(mean) > BYTES else 1 / 255
    return Preprocessing("RGB", size, size, "bilinear", scale, tuple(mean), tuple(std)), GRAPH
