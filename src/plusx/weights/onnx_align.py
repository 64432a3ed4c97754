"""Steps of an ONNX graph against the ops of a spec, one by one: every number must agree, then the tensors get plusx's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import WeightsError
from plusx.graph import Graph, Op
from plusx.names.roles import ACTIVATIONS, NORMS
from plusx.weights.onnx_sections import Sections, Walk
from plusx.weights.onnx_spec import caffe_pool
from plusx.weights.onnx_steps import Step

EPS = 1e-5
"""Of every norm that plusx builds."""
Array = NDArray[Any]


@dataclass
class Alignment:
    """Pairs of op and step. `missing` are norms that the graph has folded away while it kept others."""

    pairs: list[tuple[Op, Step]] = field(default_factory=list)
    missing: list[Op] = field(default_factory=list)


def align(walk: Walk, parts: Sections, graph: Graph) -> Alignment:
    """Every op of `graph` with its step. Raises WeightsError at the first that differs."""
    found = Alignment()
    blocks = [block for stage in graph.stages for block in stage.blocks]
    if len(blocks) != len(parts.blocks):
        raise walk.fail(f"it has {len(parts.blocks)} blocks where {graph.spec} has {len(blocks)}")
    _row(walk, found, graph.stem, parts.stem, "stem")
    for block, steps in zip(blocks, parts.blocks, strict=True):
        for ops, row in (
            (block.before, steps.before), (block.branch, steps.branch), (block.shortcut, steps.shortcut), (block.after, steps.after)
        ):  # fmt: skip
            _row(walk, found, ops, row, block.name)
    head = [step for step in parts.head if step.kind != "softmax"]
    _row(walk, found, graph.head, head, "head")
    return found


def _row(walk: Walk, found: Alignment, ops: tuple[Op, ...], steps: list[Step], where: str) -> None:
    at = 0
    for op in ops:
        step = steps[at] if at < len(steps) else None
        if op.kind == "zero_pad":
            at += _zero_pad(walk, op, steps[at:])
            continue
        if step is not None and _is(op, step):
            _check(walk, op, step)
            found.pairs.append((op, step))
            at += 1
        elif op.kind in NORMS and op.kind != "group_norm":
            found.missing.append(op)
        else:
            there = f"node {step.node!r} ({describe(step)})" if step else "nothing more"
            raise walk.fail(f"{op.name} of a ResNet is a {op.kind}, and the graph has {there} there")
    if at < len(steps):
        raise walk.fail(
            f"node {steps[at].node!r} ({describe(steps[at])}) stands in {where}, where a ResNet has nothing more"
        )


def describe(step: Step) -> str:
    return step.data["act"] if step.kind == "act" else step.kind


def _is(op: Op, step: Step) -> bool:
    kinds = {"global_avg_pool": "gap", "se": "gate", "eca": "gate", "group_norm": "norm"}
    if op.kind in NORMS:
        return step.kind == "norm" and step.data["norm"] == ("group" if op.kind == "group_norm" else "batch")
    if op.kind in ACTIVATIONS:
        return step.kind == "act" and step.data["act"] == op.kind
    return step.kind == kinds.get(op.kind, op.kind)


def _check(walk: Walk, op: Op, step: Step) -> None:
    data = step.data

    def agree(what: str, there: Any, ours: Any) -> None:
        if there != ours:
            raise walk.fail(f"node {step.node!r} ({op.name}) has {what} {there} where plusx has {ours}")

    if op.kind == "conv":
        shape = (op.c_out, op.c_in // op.groups, op.kernel, op.kernel)
        agree("weights of the shape", tuple(data["shape"]), shape)
        agree("stride", data["stride"], (op.stride,) * 2)
        agree("dilation", data["dilation"], (op.dilation,) * 2)
        agree("groups", data["groups"], op.groups)
        agree("padding", data["pads"], (op.padding,) * 4)
    elif op.kind == "linear":
        agree("weights of the shape", tuple(data["shape"]), (op.c_out, op.c_in))
        agree("groups", data["groups"], 1)
    elif op.kind == "group_norm":
        agree("groups", data["groups"], op.groups)
    elif op.kind == "max_pool":
        _check_max_pool(walk, op, step)
    elif op.kind == "avg_pool":
        agree("kernel", data["kernel"], (2, 2))
        agree("stride", data["stride"], (op.stride,) * 2)
        agree("padding", data["pads"], (0, 0, 0, 0))
        even = data["before"] is not None and not any(size % 2 for size in data["before"])
        if not even and not (data["ceil"] and not data["counts"]):
            raise walk.fail(f"node {step.node!r} ({op.name}) rounds sizes down where plusx rounds up")
    elif op.kind in ("se", "eca"):
        _check_gate(walk, op, step)


def _check_max_pool(walk: Walk, op: Op, step: Step) -> None:
    data = step.data
    plain = data["kernel"] == (3, 3) and data["stride"] == (2, 2) and data["pads"] == (1, 1, 1, 1)
    odd = data["before"] is not None and all(size % 2 for size in data["before"])
    if not (caffe_pool(step) if op.ceil else plain and (odd or not data["ceil"])):
        raise walk.fail(
            f"node {step.node!r} (maxpool) has kernel {data['kernel']}, stride {data['stride']}, padding {data['pads']} and "
            f"rounds {'up' if data['ceil'] else 'down'}, which is neither torch's pool nor Caffe's"
        )


def _check_gate(walk: Walk, op: Op, step: Step) -> None:
    kinds = [inner.data["act"] if inner.kind == "act" else inner.kind for inner in step.data["steps"]]
    wanted = (
        ["gap", "eca_conv", "sigmoid", "mul"]
        if op.kind == "eca"
        else ["gap", "linear", "relu", "linear", "sigmoid", "mul"]
    )
    if kinds != wanted:
        raise walk.fail(
            f"the gate at node {step.node!r} is {' → '.join(kinds)} where plusx's {op.kind} is {' → '.join(wanted)}"
        )


def _zero_pad(walk: Walk, op: Op, steps: list[Step]) -> int:
    """Checks option A's shortcut; returns how many steps it takes. Exporters take every second cell axis by axis."""
    taken, stride = 0, (1, 1)
    while taken < len(steps) and steps[taken].kind == "subsample":
        stride = (stride[0] * steps[taken].data["stride"][0], stride[1] * steps[taken].data["stride"][1])
        taken += 1
    if stride != (op.stride, op.stride):
        raise walk.fail(f"{op.name} has a stride of {stride} where plusx's zero-padded shortcut has {op.stride}")
    if op.c_out == op.c_in:
        return taken
    step = steps[taken] if taken < len(steps) else None
    front, back = op.padding, op.c_out - op.c_in - op.padding
    if step is None or step.kind != "channel_pad" or (step.data["front"], step.data["back"]) != (front, back):
        raise walk.fail(
            f"{op.name} adds {front} channels of zeros in front and {back} behind, and the graph does something else there"
        )
    return taken + 1


# ---- tensors ----


def tensors(walk: Walk, found: Alignment, graph: Graph) -> dict[str, Array]:
    """Tensors under plusx's names, float32. Raises WeightsError for one of another shape than its op's."""
    made: dict[str, Array] = {}
    norms = {_before(graph, op): op for op in graph.ops if op.kind in NORMS}
    steps = {op.name: step for op, step in found.pairs}
    for op, step in found.pairs:
        if op.kind in ("conv", "linear"):
            made[f"{op.path}.weight"] = step.data["weight"]()
            bias = step.data["bias"]
            if op.bias:
                made[f"{op.path}.bias"] = np.zeros(op.c_out) if bias is None else bias
            elif bias is not None and np.any(bias):
                _into_norm(walk, norms.get(op.name), op, step, steps)
        elif op.kind in ("se", "eca"):
            made |= _gate_tensors(op, step)
    for op, step in found.pairs:
        if op.kind in NORMS:
            made |= {f"{op.path}.{name}": value for name, value in _norm_tensors(op, step.data).items()}
    for op in found.missing:
        data = {"arrays": [None, steps.get(f"bias of {op.name}", None), None, None], "eps": 0.0}
        if isinstance(data["arrays"][1], Step):
            data["arrays"][1] = data["arrays"][1].data["bias"]
        made |= {f"{op.path}.{name}": value for name, value in _norm_tensors(op, data).items()}
    return {key: _fitting(walk, key, tensor.shape, made) for key, tensor in graph.tensors()}


def _before(graph: Graph, norm: Op) -> str:
    """The convolution whose output a norm takes, by the order of ops; a norm in front of a block has none."""
    at = graph.ops.index(norm)
    before = graph.ops[at - 1] if at else norm
    return before.name if before.kind == "conv" else ""


def _into_norm(walk: Walk, norm: Op | None, conv: Op, step: Step, steps: dict[str, Any]) -> None:
    """A bias in front of a norm moves into the norm's mean, or is the bias of a norm that was folded away."""
    if norm is None or norm.kind == "group_norm":
        raise walk.fail(f"node {step.node!r} ({conv.name}) has a bias, which no norm behind it can take up")
    if norm.name not in steps:
        steps[f"bias of {norm.name}"] = step
        return
    arrays = list(steps[norm.name].data["arrays"])
    arrays[2] = arrays[2].astype(np.float64) - step.data["bias"]
    steps[norm.name].data["arrays"] = arrays


def _norm_tensors(op: Op, data: dict[str, Any]) -> dict[str, Array]:
    """A norm's tensors for plusx's eps; what a graph leaves out is one or zero."""
    size = op.c_out
    weight, bias, mean, variance = (*data["arrays"], None, None)[:4]

    def full(value: Array | None, default: float) -> Array:
        value = np.array([default]) if value is None else value.reshape(-1).astype(np.float64)
        return np.broadcast_to(value, (size,)) if value.size == 1 else value

    if op.kind == "group_norm":
        return {"weight": full(weight, 1), "bias": full(bias, 0)}
    var = full(variance, 1)
    with np.errstate(all="ignore"):
        scaled = full(weight, 1) if data["eps"] == EPS else full(weight, 1) * np.sqrt((var + EPS) / (var + data["eps"]))
    return {
        "weight": scaled, "bias": full(bias, 0), "running_mean": full(mean, 0), "running_var": var,
        "num_batches_tracked": np.array(0, np.int64),
    }  # fmt: skip


def _gate_tensors(op: Op, step: Step) -> dict[str, Array]:
    if op.kind == "eca":
        (conv,) = (inner for inner in step.data["steps"] if inner.kind == "eca_conv")
        return {f"{op.path}.conv.weight": conv.data["weight"]()}
    made: dict[str, Array] = {}
    for number, inner in enumerate((inner for inner in step.data["steps"] if inner.kind == "linear"), 1):
        weight = inner.data["weight"]()
        made[f"{op.path}.fc{number}.weight"] = weight.reshape(*weight.shape, 1, 1)
        bias = inner.data["bias"]
        made[f"{op.path}.fc{number}.bias"] = np.zeros(len(weight)) if bias is None else bias
    return made


def _fitting(walk: Walk, key: str, shape: tuple[int, ...], made: dict[str, Array]) -> Array:
    value = made.get(key)
    if value is None or value.shape != shape:
        there = "missing" if value is None else f"of the shape {list(value.shape)}"
        raise walk.fail(f"its tensor for {key} is {there}, and plusx needs {list(shape)}")
    if value.dtype.kind not in "fiu":
        raise WeightsError(f"{walk.name}: the tensor for {key} holds {value.dtype}, which are no weights.")
    return value.copy() if key.endswith("num_batches_tracked") else np.array(value, dtype=np.float32, order="C")
