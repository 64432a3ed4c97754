"""Steps of an ONNX graph against the ops of a spec, one by one: every number must agree, then the tensors get plusx's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.errors import WeightsError
from plusx.graph import Graph, Op
from plusx.i18n import Message, _
from plusx.names.roles import ACTIVATIONS, NORMS
from plusx.weights.onnx_graphs.network_sections import Sections, Walk
from plusx.weights.onnx_graphs.spec_candidates import caffe_pool
from plusx.weights.onnx_graphs.steps import Step

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
        raise walk.fail(
            _(
                "it has {count} blocks where {spec} has {wanted}",
                count=len(parts.blocks),
                spec=graph.spec,
                wanted=len(blocks),
            )
        )
    _row(walk, found, graph.stem, parts.stem, _("the stem"))
    for block, steps in zip(blocks, parts.blocks, strict=True):
        for ops, row in (
            (block.before, steps.before), (block.branch, steps.branch), (block.shortcut, steps.shortcut), (block.after, steps.after)
        ):  # fmt: skip
            _row(walk, found, ops, row, block.name)
    head = [step for step in parts.head if step.kind != "softmax"]
    _row(walk, found, graph.head, head, _("the head"))
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
            there = _("node {node!r} ({what})", node=step.node, what=describe(step)) if step else _("nothing more")
            raise walk.fail(
                _(
                    "{name} of a ResNet is a {kind}, and the graph has {there} there",
                    name=op.name,
                    kind=op.kind,
                    there=there,
                )
            )
    if at < len(steps):
        raise walk.fail(
            _(
                "node {node!r} ({what}) stands in {where}, where a ResNet has nothing more",
                node=steps[at].node,
                what=describe(steps[at]),
                where=where,
            )
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

    def agree(what: Message, there: Any, ours: Any) -> None:
        if there != ours:
            raise walk.fail(
                _(
                    "node {node!r} ({name}) has {what} {there} where plusx has {ours}",
                    node=step.node,
                    name=op.name,
                    what=what,
                    there=there,
                    ours=ours,
                )
            )

    if op.kind == "conv":
        shape = (op.c_out, op.c_in // op.groups, op.kernel, op.kernel)
        agree(_("weights of the shape"), tuple(data["shape"]), shape)
        agree(_("stride"), data["stride"], (op.stride,) * 2)
        agree(_("dilation"), data["dilation"], (op.dilation,) * 2)
        agree(_("groups"), data["groups"], op.groups)
        agree(_("padding"), data["pads"], (op.padding,) * 4)
    elif op.kind == "linear":
        agree(_("weights of the shape"), tuple(data["shape"]), (op.c_out, op.c_in))
        agree(_("groups"), data["groups"], 1)
    elif op.kind == "group_norm":
        agree(_("groups"), data["groups"], op.groups)
    elif op.kind == "max_pool":
        _check_max_pool(walk, op, step)
    elif op.kind == "avg_pool":
        agree(_("kernel"), data["kernel"], (2, 2))
        agree(_("stride"), data["stride"], (op.stride,) * 2)
        agree(_("padding"), data["pads"], (0, 0, 0, 0))
        even = data["before"] is not None and not any(size % 2 for size in data["before"])
        if not even and not (data["ceil"] and not data["counts"]):
            raise walk.fail(
                _("node {node!r} ({name}) rounds sizes down where plusx rounds up", node=step.node, name=op.name)
            )
    elif op.kind in ("se", "eca"):
        _check_gate(walk, op, step)


def _check_max_pool(walk: Walk, op: Op, step: Step) -> None:
    data = step.data
    plain = data["kernel"] == (3, 3) and data["stride"] == (2, 2) and data["pads"] == (1, 1, 1, 1)
    odd = data["before"] is not None and all(size % 2 for size in data["before"])
    if not (caffe_pool(step) if op.ceil else plain and (odd or not data["ceil"])):
        raise walk.fail(
            _(
                "node {node!r} (maxpool) has kernel {kernel}, stride {stride}, padding {pads} and ceil_mode={ceil}, which is neither torch's pool nor Caffe's",
                node=step.node,
                kernel=data["kernel"],
                stride=data["stride"],
                pads=data["pads"],
                ceil=data["ceil"],
            )
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
            _(
                "the gate at node {node!r} is {found} where plusx's {kind} is {wanted}",
                node=step.node,
                found=" → ".join(kinds),
                kind=op.kind,
                wanted=" → ".join(wanted),
            )
        )


def _zero_pad(walk: Walk, op: Op, steps: list[Step]) -> int:
    """Checks option A's shortcut; returns how many steps it takes. Exporters take every second cell axis by axis."""
    taken, stride = 0, (1, 1)
    while taken < len(steps) and steps[taken].kind == "subsample":
        stride = (stride[0] * steps[taken].data["stride"][0], stride[1] * steps[taken].data["stride"][1])
        taken += 1
    if stride != (op.stride, op.stride):
        raise walk.fail(
            _(
                "{name} has a stride of {stride} where plusx's zero-padded shortcut has {wanted}",
                name=op.name,
                stride=stride,
                wanted=op.stride,
            )
        )
    if op.c_out == op.c_in:
        return taken
    step = steps[taken] if taken < len(steps) else None
    front, back = op.padding, op.c_out - op.c_in - op.padding
    if step is None or step.kind != "channel_pad" or (step.data["front"], step.data["back"]) != (front, back):
        raise walk.fail(
            _(
                "{name} adds {front} channels of zeros in front and {back} behind, which the graph does not do there",
                name=op.name,
                front=front,
                back=back,
            )
        )
    return taken + 1


# ---- tensors ----


def tensors(walk: Walk, found: Alignment, graph: Graph) -> dict[str, Array]:
    """Tensors under plusx's names, float32, not copied where they lie so in the mapped file.

    Raises WeightsError for one of another shape than its op's.
    """
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
        raise walk.fail(
            _(
                "node {node!r} ({name}) has a bias and no norm behind it that can absorb it",
                node=step.node,
                name=conv.name,
            )
        )
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
        there = _("missing") if value is None else _("of the shape {shape}", shape=list(value.shape))
        raise walk.fail(
            _("its tensor for {key} is {there}, and plusx needs {shape}", key=key, there=there, shape=list(shape))
        )
    if value.dtype.kind not in "fiu":
        raise WeightsError(
            _(
                "{file}: the tensor for {key} holds {dtype} values, which are no weights. Export the model again.",
                file=walk.name,
                key=key,
                dtype=value.dtype,
            )
        )
    return value if key.endswith("num_batches_tracked") else np.asarray(value, dtype=np.float32, order="C")
