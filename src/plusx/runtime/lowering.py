"""From graph and weights to an OpenVINO network, without torch or tracing: one function for each kind of op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.graph import Block, Graph, Op
from plusx.graph.kinds import DROPS, FIXED_NORMS
from plusx.runtime.op_tensors import NORM_EPS, Array, OpTensors, fold, pair_norms
from plusx.runtime.quiet import openvino, opset
from plusx.specs import ResNetSpec

INPUT = "images"
Node = Any
"""An OpenVINO node; the binding has no types of its own."""


def lower_to_openvino(graph: Graph, weights: Mapping[str, NDArray[np.generic]], size: tuple[int, int] | None) -> Any:
    """The openvino.Model of `graph`: float32 "images" (?, c, h, w) → `output_name`, norms folded where they can be.

    `size` None leaves height and width open. Raises WeightsError, MissingExtra.
    """
    ov = openvino()
    height, width = size or (-1, -1)
    channels = graph.stem[0].c_in
    images = opset().parameter(ov.PartialShape([-1, channels, height, width]), np.float32, name=INPUT)
    images.output(0).tensor.set_names({INPUT})
    result = opset().result(Lowering(weights).lower(graph, images))
    result.output(0).tensor.set_names({output_name(graph.spec)})
    return ov.Model([result], [images], "plusx")


def output_name(spec: ResNetSpec) -> str:
    """The name of a network's output, in its exports too: logits (n, classes), features (n, c) or the map of a cut one.

    No export holds a softmax, so none gives probabilities.

    >>> from plusx.specs import parse
    >>> output_name(parse("resnet18")), output_name(parse("resnet18 classes=0")), output_name(parse("resnet18 until=layer3"))
    ('logits', 'features', 'map')
    """
    if spec.until is not None:
        return "map"
    return "logits" if spec.classes else "features"


def _ints(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


class Lowering:
    """Walks the graph as `plusx.nn` does; every number comes from the op."""

    def __init__(self, weights: Mapping[str, NDArray[np.generic]]) -> None:
        self.tensors = OpTensors(weights)
        self.o = opset()

    def lower(self, graph: Graph, x: Node) -> Node:
        x = self.run(graph.stem, x)
        for stage in graph.stages:
            for block in stage.blocks:
                x = self.block(block, x)
        return self.run(graph.head, x)

    def block(self, block: Block, x: Node) -> Node:
        x = self.run(block.before, x)
        branch = self.run(block.branch, x)
        shortcut = self.run(block.shortcut, x)  # a block whose shortcut is the identity has no ops in `before`
        out = (
            branch if block.join is None else self.named(block.join, JOINED[block.join.kind](self.o, branch, shortcut))
        )
        return self.run(block.after, out)

    def run(self, ops: Sequence[Op], x: Node) -> Node:
        for op, norm in pair_norms(ops):
            x = self.named(op, self.conv(op, norm, x) if op.kind == "conv" else LOWERED[op.kind](self, op, x))
        return x

    def named(self, op: Op, node: Node) -> Node:
        if op.kind not in DROPS:
            (node.get_node() if op.kind == "max_pool" else node).set_friendly_name(op.name)
        return node

    def conv(self, op: Op, norm: Op | None, x: Node) -> Node:
        weight, bias = self.tensors.conv(op, norm)
        return self.biased(self.bare_conv(op, weight, x), bias)

    def bare_conv(self, op: Op, weight: Array, x: Node) -> Node:
        pads = [op.padding] * 2
        geometry = ([op.stride] * 2, pads, pads, [op.dilation] * 2)
        if op.groups == 1:
            return self.o.convolution(x, weight, *geometry)
        out, per_group, h, w = weight.shape
        return self.o.group_convolution(x, weight.reshape(op.groups, out // op.groups, per_group, h, w), *geometry)

    def biased(self, x: Node, bias: NDArray[np.generic] | None) -> Node:
        return x if bias is None else self.o.add(x, _over_channels(bias))

    def affine(self, op: Op, x: Node) -> Node:
        scale, shift = self.tensors.affine(op)
        return self.o.add(self.o.multiply(x, _over_channels(scale)), _over_channels(shift))

    def group_norm(self, op: Op, x: Node) -> Node:
        weight, bias = self.tensors(op, "weight"), self.tensors(op, "bias")
        return self.o.group_normalization(x, weight, bias, op.groups, NORM_EPS)

    def linear(self, op: Op, x: Node) -> Node:
        product = self.o.matmul(x, self.tensors(op, "weight"), False, True)
        return self.o.add(product, self.tensors(op, "bias")[None])

    # ---- pools and paddings ----

    def max_pool(self, op: Op, x: Node) -> Node:
        pads, k, s = [op.padding] * 2, [op.kernel] * 2, [op.stride] * 2
        return self.o.max_pool(x, s, [1, 1], pads, pads, k, _rounding(op)).output(0)  # its second output: indices

    def avg_pool(self, op: Op, x: Node) -> Node:
        return self.o.avg_pool(x, [op.stride] * 2, [0, 0], [0, 0], [op.kernel] * 2, True, _rounding(op))

    def same_avg_pool(self, op: Op, x: Node) -> Node:
        return self.o.avg_pool(x, [1, 1], [0, 0], [1, 1], [2, 2], False)

    def dilated_avg_pool(self, op: Op, x: Node) -> Node:
        """Slices clamp at the borders, so an axis no longer than the rate stays unchanged, as in nn."""
        rate = op.dilation
        for axis in (2, 3):
            first = self.slice(x, 0, -rate, 1, axis)
            second = self.slice(x, rate, _END, 1, axis)
            inner = self.o.multiply(self.o.add(first, second), np.float32(0.5))
            x = self.o.concat([inner, self.slice(x, -rate, _END, 1, axis)], axis)
        return x

    def zero_pad(self, op: Op, x: Node) -> Node:
        front = op.padding
        pads = (_ints([0, front, 0, 0]), _ints([0, op.c_out - op.c_in - front, 0, 0]))
        return self.o.pad(self.every(op.stride, x), *pads, "constant", np.float32(0))

    def every(self, step: int, x: Node) -> Node:
        """Every `step`-th cell of both axes."""
        if step == 1:
            return x
        return self.slice(self.slice(x, 0, _END, step, 2), 0, _END, step, 3)

    def slice(self, x: Node, start: int, stop: int, step: int, axis: int) -> Node:
        return self.o.slice(x, *(_ints([value]) for value in (start, stop, step, axis)))

    # ---- gates; formulas as in plusx.nn.layers ----

    def squeeze_excite(self, op: Op, x: Node) -> Node:
        mean = self.o.reduce_mean(self.every(op.gate.step, x), [2, 3], True)
        inner = self.o.relu(self.pointwise(op, "fc1", mean))
        return self.o.multiply(x, self.o.sigmoid(self.pointwise(op, "fc2", inner)))

    def efficient_attention(self, op: Op, x: Node) -> Node:
        mean = self.o.reduce_mean(self.every(op.gate.step, x), [2, 3], False)
        line = self.o.unsqueeze(mean, _ints([1]))
        pad = [op.gate.kernel // 2]
        line = self.o.convolution(line, self.tensors(op, "conv.weight"), [1], pad, pad, [1])
        weight = self.o.sigmoid(self.o.transpose(line, _ints([0, 2, 1])))
        return self.o.multiply(x, self.o.unsqueeze(weight, _ints([3])))

    def cbam(self, op: Op, x: Node) -> Node:
        o, cells = self.o, self.every(op.gate.step, x)
        pooled = (o.reduce_mean(cells, [2, 3], True), o.reduce_max(cells, [2, 3], True))
        mean, most = (self.pointwise(op, "channel.fc2", o.relu(self.pointwise(op, "channel.fc1", p))) for p in pooled)
        x = o.multiply(x, o.sigmoid(o.add(mean, most)))
        return o.multiply(x, o.sigmoid(self.spatial(op, x)))

    def spatial(self, op: Op, x: Node) -> Node:
        """CBAM's 7x7 over the mean and the maximum of the channels, its norm folded."""
        maps = self.o.concat([self.o.reduce_mean(x, [1], True), self.o.reduce_max(x, [1], True)], 1)
        weight, prefix = self.tensors(op, "spatial.conv.conv.weight"), "spatial.conv.bn."
        bias = self.tensors(op, "spatial.conv.conv.bias") if op.gate.bias else None
        if op.gate.norm:
            weight, bias = fold(weight, bias, *self.tensors.affine(op, prefix))
        step = op.gate.step
        pad, rate = [op.gate.kernel // 2 * step] * 2, [step] * 2
        return self.biased(self.o.convolution(maps, weight, [1, 1], pad, pad, rate), bias)

    def pointwise(self, op: Op, name: str, x: Node) -> Node:
        bias = self.tensors(op, f"{name}.bias") if self.tensors.has(op, f"{name}.bias") else None
        out = self.o.convolution(x, self.tensors(op, f"{name}.weight"), [1, 1], [0, 0], [0, 0], [1, 1])
        return self.biased(out, bias)


_END = np.iinfo(np.int64).max


def _rounding(op: Op) -> str:
    return "ceil_torch" if op.ceil else "floor"


def _over_channels(values: NDArray[np.generic]) -> Array:
    return values.astype(np.float32)[None, :, None, None]


LOWERED: dict[str, Callable[[Lowering, Op, Node], Node]] = {
    **dict.fromkeys(FIXED_NORMS, Lowering.affine),
    "group_norm": Lowering.group_norm,
    "max_pool": Lowering.max_pool,
    "avg_pool": Lowering.avg_pool,
    "same_avg_pool": Lowering.same_avg_pool,
    "dilated_avg_pool": Lowering.dilated_avg_pool,
    "zero_pad": Lowering.zero_pad,
    "global_avg_pool": lambda to, op, x: to.o.reduce_mean(x, [2, 3], False),
    "linear": Lowering.linear,
    **dict.fromkeys(DROPS, lambda to, op, x: x),
    "se": Lowering.squeeze_excite,
    "eca": Lowering.efficient_attention,
    "cbam": Lowering.cbam,
    "relu": lambda to, op, x: to.o.relu(x),
    "leaky_relu": lambda to, op, x: to.o.prelu(x, np.array([0.01], np.float32)),
    "silu": lambda to, op, x: to.o.swish(x),
    "gelu": lambda to, op, x: to.o.gelu(x, "erf"),
    "hardswish": lambda to, op, x: to.o.hswish(x),
}
"""One lowering for each kind, except convolutions, which fold the norm that follows them."""

JOINED: dict[str, Callable[[Any, Node, Node], Node]] = {
    "add": lambda o, branch, x: o.add(branch, x),
    "mul": lambda o, branch, x: o.multiply(branch, x),
    "modulate": lambda o, branch, x: o.multiply(x, o.multiply(o.sigmoid(branch), np.float32(2))),
    "attend": lambda o, branch, x: o.multiply(x, o.add(o.sigmoid(branch), np.float32(1))),
}
