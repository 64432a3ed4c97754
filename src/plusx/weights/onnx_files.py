"""An ONNX file as an identification: what matters stands in its graph."""

from __future__ import annotations

from collections import Counter

from plusx.images import Preprocessing
from plusx.specs import KEYS, ResNetSpec
from plusx.weights.extras import Group
from plusx.weights.fields import TRAINING, Verdict
from plusx.weights.identification import Identification
from plusx.weights.onnx_graph import GraphInput, recognise_onnx
from plusx.weights.plan import Plan
from plusx.weights.stored import StoredFile
from plusx.weights.suspicious import suspicious_arrays

BYTES = 1.5
"""Means above it speak of images from 0 to 255."""


def identify_onnx(stored: StoredFile) -> Identification:
    """What the file's graph is. Raises WeightsError for graphs of other networks."""
    network = recognise_onnx(stored)
    producer = stored.metadata.get("producer_name", "")
    preprocessing, source = _preprocessing(network.input, network.spec)
    return Identification(
        path=stored.path, container=stored.container, family="ONNX",
        family_why=f"a graph{f' by {producer}' if producer else ''}", spec=network.spec,
        fields=_verdicts(network.spec, dict(network.known)), needs={}, wrapper="", prefix="", others=(),
        set_aside=tuple(Group(line, ()) for line in network.set_aside), classes=None,
        dtypes=Counter(str(array.dtype) for array in network.tensors.values()),
        suspicious=suspicious_arrays(network.tensors), notes=(f"the graph gives {network.output}",), sha256=None,
        colour=_colour(network.input), preprocessing=preprocessing, preprocessing_source=source, plan=Plan({}, {}),
        tensors=network.tensors,
    )  # fmt: skip


def _verdicts(spec: ResNetSpec, known: dict[str, str]) -> dict[str, Verdict]:
    names = [name for name in KEYS if name not in TRAINING]
    return {name: Verdict(getattr(spec, name), "known", known.get(name, "the graph")) for name in names}


def _colour(given: GraphInput) -> Verdict:
    if given.channels == (2, 1, 0):
        return Verdict(
            "BGR", "convention", "the graph swaps the first and the last channel, so it takes RGB images itself"
        )
    return Verdict("RGB", "unknown", "a graph does not tell the order of its channels")


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
    return Preprocessing("RGB", size, size, "bilinear", scale, tuple(mean), tuple(std)), "the graph"
