"""Parameters and multiply-adds of one op. A MAC is one multiply-add of a convolution or a linear layer, nothing else."""

from __future__ import annotations

from math import prod

from plusx.analysis.geometry import Size
from plusx.graph import Op

FLOAT_BYTES = 4


def params(op: Op) -> int:
    """Parameters of one op."""
    return sum(prod(tensor.shape) for tensor in op.tensors if tensor.trained)


def macs(op: Op, out: Size) -> int:
    """Multiply-adds for one image, biases left out, convolutions of gates counted."""
    h, w = out
    shapes = {tensor.name: tensor.shape for tensor in op.tensors}
    if op.kind == "conv":
        return prod(shapes["weight"]) * h * w
    if op.kind == "linear":
        return prod(shapes["weight"])
    if op.kind == "se":
        return prod(shapes["fc1.weight"]) + prod(shapes["fc2.weight"])
    if op.kind == "eca":
        return op.kernel * op.c_out
    if op.kind == "cbam":  # the perceptron runs twice, on means and on maxima
        channel = prod(shapes["channel.fc1.weight"]) + prod(shapes["channel.fc2.weight"])
        return 2 * channel + prod(shapes["spatial.conv.conv.weight"]) * h * w
    return 0


def out_bytes(op: Op, out: Size) -> int:
    """Size of the op's output for one image in float32."""
    return op.c_out * out[0] * out[1] * FLOAT_BYTES
