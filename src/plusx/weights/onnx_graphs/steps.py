"""An ONNX graph as a list of steps in a ResNet's terms: constants folded, layouts and reshapes of exporters looked through.

A step's value is always seen in NCHW: a `Transpose` is another view of the same value, and so is a `Pad` of zeros until the
convolution or pool that it belongs to. What no ResNet has is refused where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.weights.containers.onnx import OnnxGraph, OnnxNode
from plusx.weights.onnx_graphs.constants import Constants, tried

NCHW = (0, 1, 2, 3)
NO_PADS = (0, 0, 0, 0)
Size = tuple[int, int] | None
BATCH = 3
"""The batch size at which sums of sizes are tried, where the file leaves it open."""


@dataclass
class Step:
    """One operation on maps. `kind`: conv, norm, act, max_pool, avg_pool, gap, linear, softmax, add, mul, affine, …"""

    kind: str
    node: str
    """The node's name, or its output's, for messages."""
    inputs: tuple[str, ...]
    output: str
    data: dict[str, Any] = field(default_factory=dict)
    size: Size = None
    """Height and width of the output, where the file fixes the input's."""
    order: int = 0


class View(NamedTuple):
    """A value of the graph: a step's output, seen through a transpose, a pad or a reshape."""

    base: str
    axes: tuple[int, ...] = NCHW
    """The base's axis that stands at each place."""
    pads: tuple[int, int, int, int] = NO_PADS
    """Zeros above, left, below and right that are still to come."""
    form: str = "map"
    """map; pooled: (n, c) in any shape; groups: reshaped for a group norm; shape: numbers about shapes."""
    groups: int = 0


class Steps:
    """What is known of a graph while it is read: the steps so far, and how each value looks. `input` is the graph's one input."""

    def __init__(self, path: Path, graph: OnnxGraph, constants: Constants) -> None:
        self.path, self.graph, self.constants = path, graph, constants
        self.steps: list[Step] = []
        self.views: dict[str, View] = {}
        self.by_output: dict[str, Step] = {}
        self.sizes: dict[str, Size] = {}
        self.trials: dict[str, NDArray[Any]] = {}
        self.batch = BATCH
        self.layout = "nchw"
        self.input = self._input()

    def fail(self, node: OnnxNode, why: Message) -> WeightsError:
        return WeightsError(
            _(
                "{file} is no ResNet that plusx can write: node {node!r} ({kind}) {why}.",
                file=self.path.name,
                node=label(node),
                kind=node.kind,
                why=why,
            )
        )

    def _input(self) -> str:
        used = {name for node in self.graph.nodes for name in node.inputs}
        inputs = [value for value in self.graph.inputs if value.name in used]
        if len(inputs) != 1:
            names = ", ".join(repr(value.name) for value in inputs[:5]) or "none"
            raise WeightsError(
                _(
                    "{file} has {count} inputs ({names}), and a ResNet has one, the images. Export that part alone.",
                    file=self.path.name,
                    count=len(inputs),
                    names=names,
                )
            )
        (value,) = inputs
        self.layout = "nhwc" if self._starts_with_channels_last() else "nchw"
        axes = (0, 2, 3, 1) if self.layout == "nhwc" else NCHW
        if value.shape is not None and len(value.shape) == 4:
            height, width = (value.shape[axes.index(axis)] for axis in (2, 3))
            self.sizes[value.name] = (height, width) if height and width else None
            self.batch = value.shape[0] or BATCH
        self.views[value.name] = View(value.name, axes)
        return value.name

    def _starts_with_channels_last(self) -> bool:
        """Whether the first thing done to a map is the transpose of NHWC into NCHW."""
        for node in self.graph.nodes:
            if node.kind == "Conv":
                return False
            if node.kind == "Transpose" and tuple(node.attributes.get("perm") or ()) == (0, 3, 1, 2):
                return not all(name in self.constants for name in node.inputs)
        return False

    def is_about_shapes(self, node: OnnxNode) -> bool:
        """Whether a node computes with sizes of maps alone; what it gives for a batch of `BATCH` is kept in `trials`."""
        if node.kind in ("Shape", "Size"):
            if node.kind == "Shape" and not node.attributes.get("start") and node.attributes.get("end") == 1:
                self.trials[node.outputs[0]] = np.array([self.batch], np.int64)
            return True
        if any(name in self.trials for name in node.inputs):
            found = tried(node, [self.places(name) if name else None for name in node.inputs])
            if found is not None:
                self.trials[node.outputs[0]] = found
                return True
        views = [self.views.get(name) for name in node.inputs if name and name not in self.constants]
        return bool(views) and all(view is not None and view.form == "shape" for view in views)

    # ---- what handlers use ----

    def places(self, name: str) -> NDArray[Any] | None:
        """A constant, or what stands in its place for a batch of `BATCH`."""
        return self.trials.get(name, self.constants[name] if name in self.constants else None)

    def view(self, node: OnnxNode, at: int = 0) -> View:
        name = node.inputs[at]
        if name not in self.views:
            raise self.fail(node, _("works on {name!r}, which no node before it makes", name=name))
        return self.views[name]

    def map(self, node: OnnxNode, at: int = 0, *, pads: bool = False) -> View:
        """The input as a map in NCHW. Raises WeightsError for another layout, or for a pad that belongs to something else."""
        view = self.view(node, at)
        if view.form != "map" or view.axes != NCHW:
            raise self.fail(node, _("works on a map that is reshaped or not in the order NCHW"))
        if view.pads != NO_PADS and not pads:
            raise self.fail(node, _("works on a map with a border of zeros, which only convolutions and pools have"))
        return view

    def constant(self, node: OnnxNode, at: int) -> NDArray[Any] | None:
        """A constant input, or None where it is absent. Raises WeightsError where it is computed from the images."""
        if len(node.inputs) <= at or not node.inputs[at]:
            return None
        if node.inputs[at] not in self.constants:
            raise self.fail(node, _("takes its input {at} from something that is no constant", at=at))
        return self.constants[node.inputs[at]]

    def emit(
        self, node: OnnxNode, kind: str, *views: View, like: View | None = None, size: Any = "same", **data: Any
    ) -> None:
        """Adds a step; its output looks like `like` (or the first view), its pads done."""
        shown = like or views[0]
        output = node.outputs[0]
        where = self.sizes.get(views[0].base) if size == "same" else size
        step = Step(kind, label(node), tuple(view.base for view in views), output, data, where, len(self.steps))
        self.steps.append(step)
        self.by_output[output] = step
        self.sizes[output] = where
        self.views[output] = View(output, shown.axes, form=shown.form)

    def alias(self, node: OnnxNode, view: View) -> None:
        self.views[node.outputs[0]] = view


def label(node: OnnxNode) -> str:
    return node.name or (node.outputs[0] if node.outputs else "?")


def reached(size: Any, pads: Any, kernel: Any, stride: Any, dilation: Any, *, ceil: bool = False) -> Any:
    """The size of the map after a convolution or pool, or None where it is not known before."""
    if size is None:
        return None
    spans = [size[k] + pads[k] + pads[k + 2] - dilation[k] * (kernel[k] - 1) - 1 for k in (0, 1)]
    found = tuple((-(-span // stride[k]) if ceil else span // stride[k]) + 1 for k, span in enumerate(spans))
    return found if min(found) > 0 else None
