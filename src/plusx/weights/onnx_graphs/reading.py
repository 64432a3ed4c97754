"""An ONNX graph read node by node: constants are folded, and every other node becomes a step or another view of a value."""

from __future__ import annotations

from plusx.i18n import _
from plusx.weights.containers.onnx import SubGraph
from plusx.weights.onnx_graphs.arithmetic import arithmetic
from plusx.weights.onnx_graphs.constants import NONSENSE, OPERATORS
from plusx.weights.onnx_graphs.operators import HANDLERS, Handler
from plusx.weights.onnx_graphs.steps import Step, Steps, View

ALL_HANDLERS: dict[str, Handler] = {**HANDLERS, **dict.fromkeys(("Add", "Sum", "Sub", "Mul", "Div"), arithmetic)}


def read_steps(steps: Steps) -> list[Step]:
    """All steps, in the order of computation. Raises WeightsError at the first node that no ResNet has."""
    for node in steps.graph.nodes:
        if not node.outputs or any(isinstance(value, SubGraph) for value in node.attributes.values()):
            raise steps.fail(node, _("has a body of its own"))
        if all(name in steps.constants or not name for name in node.inputs) and steps.constants.fold(node):
            continue
        if steps.is_about_shapes(node):
            steps.views[node.outputs[0]] = View("", form="shape")
            continue
        handler = ALL_HANDLERS.get(node.kind)
        constant = all(name in steps.constants for name in node.inputs if name)
        if handler is None and node.kind in OPERATORS and constant:
            raise steps.fail(node, _("computes more values out of constants than a ResNet has weights"))
        if handler is None:
            raise steps.fail(node, _("is no operator of a ResNet"))
        try:
            handler(steps, node)
        except NONSENSE:
            raise steps.fail(node, _("has attributes or inputs that ONNX does not allow")) from None
    return steps.steps
