"""An ONNX file as a ResNet of plusx: its spec read from the graph, its tensors under plusx's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import SpecError, WeightsError
from plusx.graph import lower
from plusx.i18n import Message, _
from plusx.specs import ResNetSpec
from plusx.weights.containers.onnx import OnnxGraph
from plusx.weights.onnx_graphs.alignment import Alignment, align, tensors
from plusx.weights.onnx_graphs.arithmetic import merged
from plusx.weights.onnx_graphs.constants import NONSENSE, Constants
from plusx.weights.onnx_graphs.network_sections import Sections, Walk
from plusx.weights.onnx_graphs.reading import read_steps
from plusx.weights.onnx_graphs.spec_candidates import candidates, every_step
from plusx.weights.onnx_graphs.steps import Step, Steps
from plusx.weights.stored import StoredFile

MAP = _("a map")


@dataclass(frozen=True)
class GraphInput:
    """What the graph takes, and what it does to images before its first convolution.

    plusx's network begins at that convolution: an image x becomes (x[channels] - mean) / std first, one number a channel.
    """

    layout: str
    """nchw or nhwc."""
    size: tuple[int, int] | None
    """Height and width, None where the file leaves them open."""
    channels: tuple[int, ...] | None
    """The order in which the graph takes the input's channels, (2, 1, 0) for a swap of red and blue; None: as they come."""
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class GraphNetwork:
    """A ResNet found in an ONNX graph."""

    spec: ResNetSpec
    tensors: Mapping[str, NDArray[Any]]
    known: Mapping[str, Message]
    """Field of the spec to what in the graph says so; fields without influence on the function are absent."""
    input: GraphInput
    output: Message
    """logits, probabilities, log-probabilities, features (pooled) or map."""
    set_aside: tuple[Message, ...]
    """What the graph has and plusx's network leaves out, and what holds with a condition."""


def recognise_onnx(stored: StoredFile) -> GraphNetwork:
    """The ResNet in an ONNX file. Raises WeightsError, which says what differs and where, for any other network."""
    try:
        return _recognised(stored)
    except NONSENSE:
        raise WeightsError(
            _(
                "{name} is no ResNet that plusx can write: sizes of its tensors contradict each other. Export it again.",
                name=stored.path.name,
            )
        ) from None


def _recognised(stored: StoredFile) -> GraphNetwork:
    graph = stored.tree["graph"]
    reader = Steps(stored.path, graph, Constants(stored.tree["tensors"]))
    steps = merged(read_steps(reader))
    walk = Walk(stored.path.name, steps, [value.name for value in graph.outputs])
    parts = walk.sections(reader.input)
    spec, found = _decided(walk, parts)
    graph_input, notes = _input(walk, reader, parts)
    last = parts.head[-1] if parts.head else None
    output = (
        {"softmax": _("probabilities"), "linear": _("logits"), "gap": _("features")}.get(last.kind, MAP)
        if last
        else MAP
    )
    if last is not None and last.kind == "softmax" and last.data["log"]:
        output = _("log-probabilities")
    notes += [
        _("{node}: {note}", node=step.node, note=step.data["note"]) for step in parts.head if step.data.get("note")
    ]
    notes += _other_outputs(graph, reader, parts)
    if found.missing:
        notes.append(
            _(
                "{count} norms are folded into convolutions and stand as norms that only add the folded bias",
                count=len(found.missing),
            )
        )
    return GraphNetwork(
        spec, tensors(walk, found, lower(spec)), _known(spec, parts, found), graph_input, output, tuple(notes)
    )


def _decided(walk: Walk, parts: Sections) -> tuple[ResNetSpec, Alignment]:
    """The spec that agrees with the graph in every number; of several that do, the one of the fewest words."""
    found: list[tuple[ResNetSpec, Alignment]] = []
    reasons: list[WeightsError] = []
    for spec in candidates(walk, parts):
        try:
            found.append((spec, align(walk, parts, lower(spec))))
        except SpecError as error:
            reasons.append(
                walk.fail(_("its parts are those of a ResNet, but not together ({error})", error=error.message))
            )
        except WeightsError as error:
            reasons.append(error)
    if not found:
        raise reasons[0]
    return min(found, key=lambda pair: len(str(pair[0]).split()))


def _input(walk: Walk, reader: Steps, parts: Sections) -> tuple[GraphInput, list[Message]]:
    channels: NDArray[Any] | None = None
    scale, shift = np.ones(1), np.zeros(1)
    for step in parts.inputs:
        if step.kind == "channels":
            order = np.array(step.data["order"])
            channels = order if channels is None else channels[order]
            scale, shift = (value if value.size == 1 else value[order] for value in (scale, shift))
        else:
            scale, shift = scale * step.data["scale"], shift * step.data["scale"] + step.data["shift"]
    if not np.all(np.isfinite(scale)) or np.any(scale == 0) or not np.all(np.isfinite(shift)):
        raise walk.fail(_("it scales its images by zero or by something that is no number"))
    changed = np.any(scale != 1) or np.any(shift != 0)
    mean, std = np.broadcast_arrays(-shift / scale, 1 / scale)
    found = GraphInput(
        reader.layout, reader.sizes.get(reader.input), None if channels is None else tuple(channels.tolist()),
        tuple(mean.tolist()) if changed else None, tuple(std.tolist()) if changed else None,
    )  # fmt: skip
    notes = [
        _("{node} {action} before the first convolution", node=step.node, action=_said(step)) for step in parts.inputs
    ]
    if reader.layout == "nhwc":
        notes.append(_("images come as NHWC and are transposed to NCHW"))
    return found, notes


def _said(step: Step) -> Message:
    return _("puts channels in another order") if step.kind == "channels" else _("scales and shifts the images")


def _other_outputs(graph: OnnxGraph, reader: Steps, parts: Sections) -> list[Message]:
    ends = every_step(parts)
    end = ends and (parts.head or parts.blocks[-1].after or ends)[-1].output
    return [
        _("{name}: a second output of the graph, before the last one", name=value.name)
        for value in graph.outputs
        if value.name in reader.views and reader.views[value.name].base != end and len(graph.outputs) > 1
    ]


def _known(spec: ResNetSpec, parts: Sections, found: Alignment) -> dict[str, Message]:
    """The fields that the graph decides, each with what says so."""
    shapes, nodes = _("shapes of the weights"), _("attributes of the nodes")
    known: dict[str, Message] = dict.fromkeys(
        ("widths", "stem_width", "groups", "width_per_group", "in_channels", "classes"), shapes
    )
    known |= dict.fromkeys(
        ("depths", "block", "shortcut", "first_shortcut", "shortcut_align", "join", "order", "until"),
        _("the graph's edges"),
    )
    known |= dict.fromkeys(
        ("stride_in", "strides", "dilations", "output_stride", "dilate", "padding", "stem_pool"), nodes
    )
    known |= dict.fromkeys(("stem", "shortcut_kernel", "stem_bias"), shapes)
    known["gate"], known["gate_ratio"] = _("the graph's edges"), shapes
    known["act"] = _("{count} nodes of that kind", count=sum(op.kind == spec.act for op, _step in found.pairs))
    norms = sum(step.kind == "norm" for step in every_step(parts))
    known["norm"] = (
        _("{norms} norms in the graph", norms=norms)
        if norms
        else _("no norm is left in the graph: folded into convolutions")
    )
    return known
