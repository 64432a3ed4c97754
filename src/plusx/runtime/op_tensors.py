"""The weights of a network by op, for its lowering: float32, norms folded into the convolutions before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from plusx.errors import WeightsError
from plusx.graph import Op
from plusx.graph.kinds import FIXED_NORMS
from plusx.i18n import _

Array = NDArray[np.float32]
NORM_EPS = 1e-5
"""torch's, and that of plusx.nn.layers; other values are folded in when weights are read."""


class OpTensors:
    """Tensors of a bundle by op. Raises WeightsError when one is missing or of another shape."""

    def __init__(self, weights: Mapping[str, NDArray[np.generic]]) -> None:
        self.weights = weights

    def __call__(self, op: Op, name: str) -> Array:
        key = f"{op.path}.{name}"
        wanted = next(tensor.shape for tensor in op.tensors if tensor.name == name)
        found = self.weights.get(key)
        if found is None:
            raise WeightsError(
                _("The weights lack {key}, which the network needs. Use another copy of the bundle.", key=key)
            )
        if tuple(found.shape) != wanted:
            raise WeightsError(
                _(
                    "{key} has shape {found} in the weights and {wanted} in the network. "
                    "Use another copy of the bundle.",
                    key=key,
                    found=list(found.shape),
                    wanted=list(wanted),
                )
            )
        return np.asarray(found, dtype=np.float32)

    def has(self, op: Op, name: str) -> bool:
        return any(tensor.name == name for tensor in op.tensors)

    def conv(self, op: Op, norm: Op | None) -> tuple[Array, Array | None]:
        """Weight and bias of a convolution, with the norm that follows it folded in."""
        weight, bias = self(op, "weight"), self(op, "bias") if op.bias else None
        if norm is None:
            return weight, bias
        scale, shift = self.affine(norm)
        return fold(weight, bias, scale, shift)

    def affine(self, op: Op, prefix: str = "") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A fixed norm as x · scale + shift, in float64."""
        gamma, beta, mean, var = (
            self(op, prefix + name).astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(var + NORM_EPS)
        return scale, beta - mean * scale


def fold(
    weight: Array, bias: Array | None, scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> tuple[Array, Array]:
    """Weight and bias of the convolution that computes conv(x) · scale + shift; float64, rounded once."""
    folded = weight.astype(np.float64) * scale[:, None, None, None]
    moved = shift if bias is None else bias.astype(np.float64) * scale + shift
    return folded.astype(np.float32), moved.astype(np.float32)


def pair_norms(ops: Sequence[Op]) -> list[tuple[Op, Op | None]]:
    """The ops, each convolution with the fixed norm that follows it; such norms are not ops of their own any more."""
    out: list[tuple[Op, Op | None]] = []
    for op in ops:
        if out and op.kind in FIXED_NORMS and out[-1][0].kind == "conv" and out[-1][1] is None:
            out[-1] = (out[-1][0], op)
        else:
            out.append((op, None))
    return out
