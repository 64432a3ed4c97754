"""Parameters and multiply-adds of one op. A MAC is one multiply-add of a convolution or a linear layer, nothing else."""

from __future__ import annotations

from plusx.analysis.geometry import Size
from plusx.graph import Op
from plusx.graph.kinds import KINDS, params

__all__ = ["FLOAT_BYTES", "macs", "out_bytes", "params"]

FLOAT_BYTES = 4


def macs(op: Op, out: Size) -> int:
    """Multiply-adds for one image, without biases, with the convolutions of gates."""
    return KINDS[op.kind].macs(op, out[0] * out[1])


def out_bytes(op: Op, out: Size) -> int:
    """Size of the op's output for one image in float32."""
    return op.c_out * out[0] * out[1] * FLOAT_BYTES
