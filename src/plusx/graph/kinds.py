"""Every kind of op in one table: its role, the fields of `Op` that it reads, its tensors, its MACs and its window.

A new gate, join, norm or activation is one entry here and a word in `specs.keys`. `nn.layers` computes it (joins:
`nn.blocks`), `text.notation` and `text.torch_print` label it, and `runtime.lowering` lowers it. `tests/graph/test_kinds.py`
names the modules in which a new kind is still missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log2, prod

from plusx.graph.model import GateFields, Op, Tensor
from plusx.specs import ResNetSpec

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Gate:
    """The part of a kind that only gates have.

    `fields` gives the gate's fields for a spec, the channels of the branch and the step of the squeeze. `first` is the tensor
    by which a state dict shows the gate; its length is the squeezed width where `squeezes`. `sigmoids` is the number of its
    factors, and `silent` names the tensors whose zeros make each factor 1/2. `folds` are (convolution, norm) pairs inside it.
    """

    fields: Callable[[ResNetSpec, int, int], GateFields]
    first: str
    squeezes: bool
    silent: Callable[[GateFields], tuple[str, ...]]
    sigmoids: int = 1
    folds: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Kind:
    """One kind of op.

    `role` is one of conv, linear, norm, activation, pool, pad, drop, gate, join. `reads` are the fields of `Op` that it reads
    besides its channels; all others are at their defaults. `macs` takes the op and the number of cells of its output map.
    `map` is the kind of its output map: same (the size of the input); window (a window with stride and padding); subsampled
    (every stride-th cell); global (one cell). `reach` is by how many input cells the window of output cell 0 extends before
    and behind input cell 0. `whole` is true where every output cell depends on the whole map.
    """

    role: str
    reads: tuple[str, ...] = ()
    tensors: Callable[[Op], tuple[Tensor, ...]] = lambda op: ()
    macs: Callable[[Op, int], int] = lambda op, cells: 0
    map: str = "same"
    reach: Callable[[Op], tuple[int, int]] = lambda op: (0, 0)
    whole: bool = False
    gate: Gate | None = None


def params(op: Op) -> int:
    """The number of trained parameters of one op."""
    return sum(prod(tensor.shape) for tensor in op.tensors if tensor.trained)


def with_tensors(op: Op) -> Op:
    """The op with the tensors of its kind."""
    return op._replace(tensors=KINDS[op.kind].tensors(op))


def gate_fields(spec: ResNetSpec, channels: int, step: int) -> GateFields:
    """The fields of the spec's gate over so many channels, which averages over every `step`-th cell."""
    return GATES[spec.gate].fields(spec, channels, step)


# ---- convolutions, linear layers, norms ----


def _conv_tensors(op: Op) -> tuple[Tensor, ...]:
    weight = Tensor("weight", (op.c_out, op.c_in // op.groups, op.kernel, op.kernel))
    return (weight, Tensor("bias", (op.c_out,))) if op.bias else (weight,)


def _conv_macs(op: Op, cells: int) -> int:
    return op.c_out * (op.c_in // op.groups) * op.kernel * op.kernel * cells


def _window(op: Op) -> tuple[int, int]:
    return op.padding, (op.kernel - 1) * op.dilation - op.padding


def _behind(op: Op) -> tuple[int, int]:
    """The window of a 2x2 pool at stride 1 ends `dilation` cells behind the cell."""
    return 0, (op.kernel - 1) * op.dilation


def _batch_norm(channels: int, prefix: str = "") -> tuple[Tensor, ...]:
    affine = (channels,)
    return (
        *(Tensor(f"{prefix}{name}", affine) for name in ("weight", "bias")),
        *(Tensor(f"{prefix}{name}", affine, False) for name in STATISTICS),
        Tensor(f"{prefix}num_batches_tracked", (), False),
    )


def _frozen_norm(channels: int, prefix: str = "") -> tuple[Tensor, ...]:
    return tuple(Tensor(f"{prefix}{name}", (channels,), False) for name in ("weight", "bias", *STATISTICS))


# ---- gates; tensors are named as in timm's layers ----


def gate_width(spec: ResNetSpec, channels: int) -> int:
    """The squeezed width, rounded to a multiple of 8 (timm layers/helpers.py make_divisible, round_limit 0)."""
    wanted = channels / int(spec.gate_ratio.removeprefix("1/"))
    return max(8, int(wanted + 4) // 8 * 8)


def eca_kernel(channels: int) -> int:
    """The odd kernel near log2(c)/2 + 1/2, at least 3 (arXiv 1910.03151, section 3.2.3, gamma 2, b 1)."""
    size = int(abs(log2(channels) + 1) / 2)
    return max(size if size % 2 else size + 1, 3)


def _se_tensors(op: Op) -> tuple[Tensor, ...]:
    c, squeezed = op.c_out, op.gate.squeezed
    return (
        Tensor("fc1.weight", (squeezed, c, 1, 1)), Tensor("fc1.bias", (squeezed,)),
        Tensor("fc2.weight", (c, squeezed, 1, 1)), Tensor("fc2.bias", (c,)),
    )  # fmt: skip


def _cbam_fields(spec: ResNetSpec, channels: int, step: int) -> GateFields:
    """The spatial norm is a batch norm, frozen where the network's norms are, and replaced by a bias with norm=none."""
    norm = {"none": "", "frozen": "frozen_norm"}.get(spec.norm, "batch_norm")
    return GateFields(step, gate_width(spec, channels), 7, not norm, norm)


def _cbam_tensors(op: Op) -> tuple[Tensor, ...]:
    c, gate = op.c_out, op.gate
    channel = (
        Tensor("channel.fc1.weight", (gate.squeezed, c, 1, 1)),
        Tensor("channel.fc2.weight", (c, gate.squeezed, 1, 1)),
    )
    spatial = (Tensor("spatial.conv.conv.weight", (1, 2, gate.kernel, gate.kernel)),)
    if gate.bias:
        return (*channel, *spatial, Tensor("spatial.conv.conv.bias", (1,)))
    norm = _frozen_norm if gate.norm == "frozen_norm" else _batch_norm
    return (*channel, *spatial, *norm(1, "spatial.conv.bn."))


def _cbam_macs(op: Op, cells: int) -> int:
    """The perceptron runs twice, on means and on maxima; the spatial convolution reads two maps."""
    gate = op.gate
    return 2 * (2 * op.c_out * gate.squeezed) + 2 * gate.kernel * gate.kernel * cells


def _cbam_silent(gate: GateFields) -> tuple[str, ...]:
    """The weight of the spatial norm, or of its convolution where the norm is frozen or absent and cannot be trained."""
    spatial = "spatial.conv.bn.weight" if gate.norm == "batch_norm" else "spatial.conv.conv.weight"
    return "channel.fc2.weight", spatial


def _cbam_reach(op: Op) -> tuple[int, int]:
    reach = op.gate.kernel // 2 * op.gate.step
    return reach, reach


def _gate(
    gate: Gate, tensors: Callable[[Op], tuple[Tensor, ...]], macs: Callable[[Op, int], int],
    reach: Callable[[Op], tuple[int, int]] = lambda op: (0, 0),
) -> Kind:  # fmt: skip
    return Kind("gate", ("gate",), tensors, macs, reach=reach, whole=True, gate=gate)


_SE = Gate(
    fields=lambda spec, channels, step: GateFields(step, gate_width(spec, channels), bias=True),
    first="fc1.weight",
    squeezes=True,
    silent=lambda gate: ("fc2.weight", "fc2.bias"),
)
_ECA = Gate(
    fields=lambda spec, channels, step: GateFields(step, kernel=eca_kernel(channels)),
    first="conv.weight",
    squeezes=False,
    silent=lambda gate: ("conv.weight",),
)
_CBAM = Gate(
    fields=_cbam_fields,
    first="channel.fc1.weight",
    squeezes=True,
    silent=_cbam_silent,
    sigmoids=2,
    folds=(("spatial.conv.conv", "spatial.conv.bn"),),
)

# ---- the table ----

KINDS: dict[str, Kind] = {
    "conv": Kind(
        "conv", ("kernel", "stride", "padding", "dilation", "groups", "bias"), _conv_tensors, _conv_macs, "window", _window
    ),
    "linear": Kind(
        "linear", ("bias",), lambda op: (Tensor("weight", (op.c_out, op.c_in)), Tensor("bias", (op.c_out,))),
        lambda op, cells: op.c_out * op.c_in, "global",
    ),
    "batch_norm": Kind("norm", (), lambda op: _batch_norm(op.c_out)),
    "group_norm": Kind(
        "norm", ("groups",), lambda op: (Tensor("weight", (op.c_out,)), Tensor("bias", (op.c_out,))), whole=True
    ),
    "frozen_norm": Kind("norm", (), lambda op: _frozen_norm(op.c_out)),
    "relu": Kind("activation"),
    "leaky_relu": Kind("activation"),
    "silu": Kind("activation"),
    "gelu": Kind("activation"),
    "hardswish": Kind("activation"),
    "max_pool": Kind("pool", ("kernel", "stride", "padding", "ceil"), map="window", reach=_window),
    "avg_pool": Kind("pool", ("kernel", "stride", "ceil"), map="window", reach=_window),
    "same_avg_pool": Kind("pool", ("kernel",), reach=_behind),
    "dilated_avg_pool": Kind("pool", ("kernel", "dilation"), reach=_behind),
    "global_avg_pool": Kind("pool", map="global"),
    "zero_pad": Kind("pad", ("stride", "padding"), map="subsampled"),
    "dropout": Kind("drop", ("rate",)),
    "drop_path": Kind("drop", ("rate",)),
    "se": _gate(_SE, _se_tensors, lambda op, cells: 2 * op.c_out * op.gate.squeezed),
    "eca": _gate(
        _ECA, lambda op: (Tensor("conv.weight", (1, 1, op.gate.kernel)),), lambda op, cells: op.gate.kernel * op.c_out
    ),
    "cbam": _gate(_CBAM, _cbam_tensors, _cbam_macs, _cbam_reach),
    "add": Kind("join"),
    "mul": Kind("join"),
    "modulate": Kind("join"),
    "attend": Kind("join"),
}  # fmt: skip


def of_role(role: str) -> tuple[str, ...]:
    """The kinds of a role, in the table's order.

    >>> of_role("join")
    ('add', 'mul', 'modulate', 'attend')
    """
    return tuple(name for name, kind in KINDS.items() if kind.role == role)


NORMS, ACTIVATIONS, POOLS, DROPS, JOINS = map(of_role, ("norm", "activation", "pool", "drop", "join"))
GATES: dict[str, Gate] = {name: kind.gate for name, kind in KINDS.items() if kind.gate is not None}
FIXED_NORMS = tuple(name for name in NORMS if not KINDS[name].whole)
"""Norms whose statistics are fixed in eval mode. Each is an affine map then, which folds into the convolution before it."""
NORM_OF = {"batch": "batch_norm", "group": "group_norm", "frozen": "frozen_norm"}
"""The kind of a spec's `norm`, without the number of groups."""
