"""What each ONNX operator is to a ResNet: one function an operator, which adds a step or another view of a value.

Meanings of attributes, defaults and their versions: onnx/docs/Operators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plusx.i18n import _
from plusx.weights.containers.onnx import OnnxNode
from plusx.weights.onnx_graphs.steps import NO_PADS, Steps, View, reached
from plusx.weights.onnx_graphs.views import cast, expand, gather, pad, reshape, same, slices, transpose

ACTIVATIONS = {"Relu": "relu", "HardSwish": "hardswish", "Sigmoid": "sigmoid", "Erf": "erf", "Swish": "silu"}
Handler = Callable[[Steps, OnnxNode], None]


def pads_of(steps: Steps, node: OnnxNode, view: View, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, int, int, int]:  # fmt: skip
    """Zeros above, left, below and right, from `pads`, `auto_pad` and a Pad node before."""
    auto = node.attributes.get("auto_pad") or "NOTSET"
    own = tuple(node.attributes.get("pads") or NO_PADS)
    if auto == "VALID":
        own = NO_PADS
    elif auto != "NOTSET":
        own = _same_pads(steps, node, view, kernel, stride, dilation, lower=auto == "SAME_LOWER")
    top, left, bottom, right = (one + other for one, other in zip(own, view.pads, strict=True))
    return top, left, bottom, right


def _same_pads(steps: Steps, node: OnnxNode, view: View, kernel: Any, stride: Any, dilation: Any, *, lower: bool) -> tuple[int, ...]:  # fmt: skip
    size = steps.sizes.get(view.base)
    spans = [rate * (length - 1) + 1 for rate, length in zip(dilation, kernel, strict=True)]
    if tuple(stride) == (1, 1):
        totals = [span - 1 for span in spans]
    elif tuple(kernel) == (1, 1):
        totals = [0, 0]
    elif size is None:
        raise steps.fail(node, _("pads as SAME says, which depends on an image size that the file leaves open"))
    else:
        totals = [
            max((-(-length // step) - 1) * step + span - length, 0)
            for length, step, span in zip(size, stride, spans, strict=True)
        ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    first, second = (large, small) if lower else (small, large)
    return (*first, *second)


def pair(node: OnnxNode, name: str) -> tuple[int, int]:
    found = tuple(node.attributes.get(name) or (1, 1))
    if len(found) != 2 or min(found) < 1 or not all(isinstance(number, int) for number in found):
        raise ValueError(name)
    return found


def group(node: OnnxNode) -> int:
    found = node.attributes.get("group") or 1
    if not isinstance(found, int) or found < 1:
        raise ValueError("group")
    return found


def conv(steps: Steps, node: OnnxNode) -> None:
    view = steps.view(node)
    weight = node.inputs[1]
    if weight not in steps.constants:
        raise steps.fail(node, _("has weights that are no constant"))
    shape = steps.constants.shape(weight)
    if len(shape) == 3 and view.form in ("pooled", "rows"):
        return conv_over_channels(steps, node, view)
    if view.form == "pooled" and shape[2:] == (1, 1):
        return steps.emit(
            node, "linear", view, weight=lambda: steps.constants[weight].reshape(shape[:2]), shape=shape[:2],
            bias=steps.constant(node, 2), groups=group(node),
        )  # fmt: skip
    view = steps.map(node, pads=True)
    if len(shape) != 4:
        raise steps.fail(
            node, _("has weights of the shape {shape} where a convolution of images has four sizes", shape=list(shape))
        )
    kernel, stride, dilation = shape[2:], pair(node, "strides"), pair(node, "dilations")
    pads = pads_of(steps, node, view, kernel, stride, dilation)
    size = reached(steps.sizes.get(view.base), pads, kernel, stride, dilation)
    steps.emit(
        node, "conv", view, size=size, weight=lambda: steps.constants[weight], shape=shape, bias=steps.constant(node, 2),
        kernel=kernel, stride=stride, dilation=dilation, pads=pads, groups=group(node),
    )  # fmt: skip


def conv_over_channels(steps: Steps, node: OnnxNode, view: View) -> None:
    """A convolution over the channels of pooled maps, as ECA has it."""
    weight = node.inputs[1]
    length = steps.constants.shape(weight)[2]
    pads = tuple(node.attributes.get("pads") or (0, 0))
    if pads != (length // 2, length // 2) or steps.constant(node, 2) is not None:
        raise steps.fail(node, _("is a convolution over channels that plusx's eca does not have"))
    steps.emit(node, "eca_conv", view, weight=lambda: steps.constants[weight], shape=steps.constants.shape(weight))


def batch_norm(steps: Steps, node: OnnxNode) -> None:
    if node.attributes.get("training_mode"):
        raise steps.fail(node, _("computes the statistics of each batch, so export the model in eval mode"))
    arrays = [steps.constant(node, at) for at in range(1, 5)]
    steps.emit(node, "norm", steps.map(node), norm="batch", arrays=arrays, eps=node.attributes.get("epsilon", 1e-5))


def group_norm(steps: Steps, node: OnnxNode) -> None:
    groups = node.attributes["num_groups"]
    arrays = [steps.constant(node, at) for at in (1, 2)]
    if steps.graph.opset < 21:
        raise steps.fail(
            node, _("has one weight a group, as opsets 18 to 20 define it, where torch's norm has one a channel")
        )
    steps.emit(node, "norm", steps.map(node), norm="group", groups=groups, arrays=arrays, eps=node.attributes.get("epsilon", 1e-5))  # fmt: skip


def instance_norm(steps: Steps, node: OnnxNode) -> None:
    """The middle of a group norm as torch exports it: reshaped into groups, normalised, reshaped back."""
    view = steps.view(node)
    ones, zeros = steps.constant(node, 1), steps.constant(node, 2)
    if view.form != "groups" or ones is None or zeros is None or np.any(ones != 1) or np.any(zeros != 0):
        raise steps.fail(node, _("is an instance norm"))
    plain = View(view.base)
    steps.emit(node, "norm", plain, norm="group", groups=view.groups, arrays=[None, None], eps=node.attributes.get("epsilon", 1e-5))  # fmt: skip
    steps.views[node.outputs[0]] = View(node.outputs[0], form="groups", groups=view.groups)


def activation(steps: Steps, node: OnnxNode) -> None:
    view = steps.view(node)
    if view.pads != NO_PADS:
        raise steps.fail(node, _("works on a map with a border of zeros"))
    steps.emit(node, "act", view, act=ACTIVATIONS[node.kind])


def leaky_relu(steps: Steps, node: OnnxNode) -> None:
    slope = node.attributes.get("alpha", 0.01)
    if abs(slope - 0.01) > 1e-7:
        raise steps.fail(node, _("has a slope of {slope:g} where plusx's leaky_relu has 0.01", slope=slope))
    steps.emit(node, "act", steps.view(node), act="leaky_relu")


def gelu(steps: Steps, node: OnnxNode) -> None:
    if (node.attributes.get("approximate") or "none") != "none":
        raise steps.fail(node, _("approximates GELU, where plusx has the exact one"))
    steps.emit(node, "act", steps.view(node), act="gelu")


def hard_sigmoid(steps: Steps, node: OnnxNode) -> None:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    if abs(alpha - 1 / 6) > 1e-6 or abs(beta - 0.5) > 1e-6:
        raise steps.fail(node, _("is no hard sigmoid of torch"))
    steps.emit(node, "act", steps.view(node), act="hard_sigmoid")


def max_pool(steps: Steps, node: OnnxNode) -> None:
    if len(node.outputs) > 1 and node.outputs[1]:
        raise steps.fail(node, _("returns the places of its maxima"))
    _pool(steps, node, "max_pool", counts=True)


def avg_pool(steps: Steps, node: OnnxNode) -> None:
    view = steps.map(node, pads=True)
    size, kernel = steps.sizes.get(view.base), pair(node, "kernel_shape")
    pads, strides = tuple(node.attributes.get("pads") or NO_PADS), node.attributes.get("strides")
    whole = size == kernel or (size is None and max(kernel) > 3)
    if whole and not any((*pads, *view.pads)):
        note = (
            ""
            if size
            else _(
                "averages {height}x{width} cells, which are the whole map at one image size only",
                height=kernel[0],
                width=kernel[1],
            )
        )
        return steps.emit(node, "gap", view, like=View("", form="pooled"), size=None, note=note, fixed=kernel, strides=strides)  # fmt: skip
    _pool(steps, node, "avg_pool", counts=bool(node.attributes.get("count_include_pad")))


def _pool(steps: Steps, node: OnnxNode, kind: str, *, counts: bool) -> None:
    view = steps.map(node, pads=True)
    kernel, stride, dilation = pair(node, "kernel_shape"), pair(node, "strides"), pair(node, "dilations")
    pads, ceil = pads_of(steps, node, view, kernel, stride, dilation), bool(node.attributes.get("ceil_mode"))
    before = steps.sizes.get(view.base)
    size = reached(before, pads, kernel, stride, dilation, ceil=ceil)
    if dilation != (1, 1):
        raise steps.fail(node, _("is a dilated pool"))
    zeros = view.pads != NO_PADS
    steps.emit(node, kind, view, size=size, kernel=kernel, stride=stride, pads=pads, ceil=ceil, before=before, counts=counts or zeros, zeros=zeros)  # fmt: skip


def global_pool(steps: Steps, node: OnnxNode) -> None:
    steps.emit(node, "gap", steps.map(node), like=View("", form="pooled"), size=None)


def reduce_mean(steps: Steps, node: OnnxNode) -> None:
    given = steps.constant(node, 1)
    axes = tuple(int(n) for n in given) if given is not None else tuple(node.attributes.get("axes") or ())
    view = steps.view(node)
    over = sorted(view.axes[axis] for axis in axes)
    if view.form != "map" or over != [2, 3] or view.pads != NO_PADS:
        raise steps.fail(node, _("averages over axes other than height and width"))
    steps.emit(node, "gap", View(view.base), like=View("", form="pooled"), size=None)


def linear(steps: Steps, node: OnnxNode) -> None:
    said = node.attributes
    alpha, beta = said.get("alpha", 1.0), said.get("beta", 1.0)
    if alpha != 1 or beta != 1 or said.get("transA"):
        raise steps.fail(node, _("scales or transposes its input"))
    turned = not said.get("transB")
    _linear(steps, node, turned=turned, bias=steps.constant(node, 2))


def matmul(steps: Steps, node: OnnxNode) -> None:
    _linear(steps, node, turned=True, bias=None)


def _linear(steps: Steps, node: OnnxNode, *, turned: bool, bias: Any) -> None:
    view, weight = steps.view(node), node.inputs[1]
    if view.form != "pooled" or weight not in steps.constants or len(steps.constants.shape(weight)) != 2:
        raise steps.fail(node, _("is no fully connected layer on pooled features"))
    shape = steps.constants.shape(weight)

    def values() -> Any:
        return steps.constants[weight].T if turned else steps.constants[weight]

    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), (shape[1] if turned else shape[0],))
    steps.emit(node, "linear", view, weight=values, shape=shape[::-1] if turned else shape, bias=bias, groups=1)


def softmax(steps: Steps, node: OnnxNode) -> None:
    view = steps.view(node)
    default = -1 if steps.graph.opset >= 13 else 1
    if view.form != "pooled" or node.attributes.get("axis", default) not in (1, -1):
        raise steps.fail(node, _("normalises something other than the classes"))
    steps.emit(node, "softmax", view, log=node.kind == "LogSoftmax")


HANDLERS: dict[str, Handler] = {
    "Conv": conv, "BatchNormalization": batch_norm, "GroupNormalization": group_norm, "InstanceNormalization": instance_norm,
    "LeakyRelu": leaky_relu, "Gelu": gelu, "HardSigmoid": hard_sigmoid, **dict.fromkeys(ACTIVATIONS, activation),
    "MaxPool": max_pool, "AveragePool": avg_pool, "GlobalAveragePool": global_pool, "ReduceMean": reduce_mean,
    "Gemm": linear, "MatMul": matmul, "Softmax": softmax, "LogSoftmax": softmax, "Transpose": transpose,
    "Identity": same, "Dropout": same, "Cast": cast, "CastLike": cast, "Pad": pad, "Slice": slices, "Gather": gather, "Expand": expand,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshape),
}  # fmt: skip
