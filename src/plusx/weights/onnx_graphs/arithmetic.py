"""Additions and multiplications in ONNX graphs: joins, gates, biases, norms written out, activations written out."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.i18n import _
from plusx.weights.containers.onnx import OnnxNode
from plusx.weights.onnx_graphs.steps import NCHW, Step, Steps, View

Vector = NDArray[np.float64]
SELF_GATED = {"sigmoid": "silu", "hard_sigmoid": "hardswish"}


def arithmetic(steps: Steps, node: OnnxNode) -> None:
    """A join or gate of two maps, or a scale and shift by constants."""
    if len(node.inputs) != 2:
        raise steps.fail(node, _("adds {count} maps where a block joins two", count=len(node.inputs)))
    constant = [name in steps.constants for name in node.inputs]
    if not any(constant):
        return _two_maps(steps, node)
    at = constant.index(False)
    view = steps.view(node, at)
    value = _per_channel(steps, node, view, steps.constants[node.inputs[1 - at]])
    one, zero = np.ones(1), np.zeros(1)
    if node.kind in ("Add", "Sum"):
        scale, shift = one, value
    elif node.kind == "Sub":
        scale, shift = (one, -value) if at == 0 else (-one, value)
    elif node.kind == "Mul":
        scale, shift = value, zero
    elif at == 0:
        scale, shift = 1 / value, zero
    else:
        raise steps.fail(node, _("divides by a map"))
    steps.emit(node, "affine", view, scale=scale, shift=shift)


def _per_channel(steps: Steps, node: OnnxNode, view: View, value: NDArray[Any]) -> Vector:
    """A constant operand as one value, or one a channel."""
    if value.size == 1:
        return value.reshape(1).astype(np.float64)
    if view.pads != (0, 0, 0, 0):
        raise steps.fail(node, _("works on a map with a border of zeros"))
    if view.form == "pooled" and value.shape[-1] == value.size:
        return value.reshape(-1).astype(np.float64)
    if view.form == "map" and value.ndim <= 4:
        shown = value.reshape((1,) * (4 - value.ndim) + value.shape)
        base = shown.transpose([view.axes.index(axis) for axis in NCHW])
        if base.shape[1] == base.size:
            return base.reshape(-1).astype(np.float64)
    raise steps.fail(
        node, _("uses a constant of the shape {shape}, which is not one value a channel", shape=list(value.shape))
    )


def _two_maps(steps: Steps, node: OnnxNode) -> None:
    one, other = steps.view(node, 0), steps.view(node, 1)
    if node.kind in ("Add", "Sum"):
        if (
            one.axes != other.axes
            or one.form != "map"
            or other.form != "map"
            or one.pads != other.pads
            or any(one.pads)
        ):
            raise steps.fail(node, _("adds two maps of different layouts"))
        return steps.emit(node, "add", one, other)
    if node.kind != "Mul":
        raise steps.fail(node, _("joins two maps by {kind}, where plusx's blocks add", kind=node.kind))
    for view, factor in ((one, other), (other, one)):
        if _self_gated(steps, node, view, factor) or _gelu(steps, node, view, factor):
            return
    maps = [view for view in (one, other) if view.form == "map"]
    first, second = (one, other) if maps and maps[0] is one else (other, one)
    steps.emit(node, "mul", first, second)


def _self_gated(steps: Steps, node: OnnxNode, view: View, factor: View) -> bool:
    """x * sigmoid(x) is silu, x * hard_sigmoid(x) is hardswish."""
    step = steps.by_output.get(factor.base)
    if step is None or step.kind != "act" or step.data["act"] not in SELF_GATED or step.inputs[0] != view.base:
        return False
    steps.steps.remove(step)
    steps.emit(node, "act", view, act=SELF_GATED[step.data["act"]])
    return True


def _gelu(steps: Steps, node: OnnxNode, view: View, factor: View) -> bool:
    """x * (1 + erf(x / sqrt 2)), of which the half is GELU; the factor 0.5 follows as a step of its own."""
    chain: list[Step] = []
    name = factor.base
    for kind in ("affine", "act", "affine"):
        step = steps.by_output.get(name)
        if step is None or step.kind != kind:
            return False
        chain.append(step)
        name = step.inputs[0]
    plus, erf, inner = chain
    close = abs(float(inner.data["scale"][0]) - 1 / math.sqrt(2)) < 1e-6 and not inner.data["shift"].any()
    if (
        name != view.base
        or erf.data["act"] != "erf"
        or not close
        or plus.data["shift"][0] != 1
        or plus.data["scale"][0] != 1
    ):
        return False
    for step in chain:
        steps.steps.remove(step)
    steps.emit(node, "act", view, act="twice_gelu")
    return True


def merged(steps: list[Step]) -> list[Step]:
    """The steps with every scale and shift merged into the convolution, norm or activation that it belongs to.

    A scale and shift that stays alone on maps is a norm whose statistics were folded into it.
    """
    uses = Counter(name for step in steps for name in step.inputs)
    made: dict[str, Step] = {}
    renamed: dict[str, str] = {}
    early: set[str] = set()
    for step in steps:
        step = replace(step, inputs=tuple(renamed.get(name, name) for name in step.inputs))
        before = made.get(step.inputs[0])
        start = before is None or before.output in early
        if step.kind == "affine" and before is not None and uses[before.output] == 1 and _absorb(before, step):
            renamed[step.output] = before.output
            uses[before.output] = uses[step.output]
            continue
        if start and step.kind in ("affine", "channels"):
            early.add(step.output)
        elif step.kind == "affine":
            step = _as_norm(step)
        made[step.output] = step
    return list(made.values())


def _absorb(step: Step, affine: Step) -> bool:
    """Whether `step` has taken the scale and shift in."""
    scale, shift = affine.data["scale"], affine.data["shift"]
    data = step.data
    if step.kind in ("conv", "linear") and np.all(scale == 1):
        bias = np.zeros(data["shape"][0]) if data["bias"] is None else data["bias"]
        if shift.size not in (1, len(bias)):
            return False
        data["bias"] = bias.astype(np.float64) + shift
        return True
    if step.kind == "affine":
        data["scale"], data["shift"] = data["scale"] * scale, data["shift"] * scale + shift
        return True
    if step.kind == "norm":
        weight, bias = (np.ones(1) if array is None and k == 0 else np.zeros(1) if array is None else array
                        for k, array in enumerate(data["arrays"][:2]))  # fmt: skip
        data["arrays"] = [weight * scale, bias * scale + shift, *data["arrays"][2:]]
        return True
    if step.kind == "act" and data["act"] == "twice_gelu" and np.all(scale == 0.5) and not shift.any():
        data["act"] = "gelu"
        return True
    return False


def _as_norm(step: Step) -> Step:
    arrays = [step.data["scale"], step.data["shift"], np.zeros(1), np.ones(1)]
    return replace(step, kind="norm", data={"norm": "batch", "arrays": arrays, "eps": 0.0})
