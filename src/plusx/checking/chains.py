"""From ops to a series-parallel chain: single ops, and regions between a value and the join at which its paths meet again.

A value is on the chain when every path from the input to the output passes through it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from plusx.checking.record import ReadModule, ReadOp
from plusx.graph.kinds import ACTIVATIONS

NORMS = ("batch_norm", "group_norm", "frozen_norm", "instance_norm", "layer_norm")
ACTS = (*ACTIVATIONS, "relu6", "elu", "selu", "prelu", "sigmoid", "tanh", "mish", "softplus", "rrelu", "celu")
POOLS = ("max_pool", "avg_pool", "global_avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
JOINS = ("add", "mul", "sub", "div", "cat", "maximum", "minimum", "stack")


class Region(NamedTuple):
    """Paths that leave a value and meet in `join`, in the order of its operands; the identity is an empty path.

    `tangled`: the paths share ops, so they are no separate branches.
    """

    join: ReadOp
    paths: tuple[Chain, ...]
    tangled: bool = False


Item = ReadOp | Region
Chain = tuple[Item, ...]


def chain_of(read: ReadModule) -> Chain:
    """The chain from the input to the output; of several outputs, that with the most ops before it."""
    ops = {op.id: op for op in _simplified(read.ops)}
    if not read.output:
        return ()
    ends = [(len(_above(ops, end)), -rank, end) for rank, end in enumerate(read.output)]
    end = max(ends)[2]
    return _chain(_above(ops, end), 0, end)


def flat(chain: Sequence[Item]) -> Iterator[ReadOp]:
    """All ops of a chain, those of regions included."""
    for item in chain:
        if isinstance(item, Region):
            for path in item.paths:
                yield from flat(path)
            yield item.join
        else:
            yield item


def role(op: ReadOp) -> str:
    """conv, norm, act, pool, dropout, gate, reshape, linear, … of an op."""
    if op.kind in NORMS:
        return "norm"
    if op.kind in ACTS:
        return "act"
    if op.kind in POOLS:
        return "pool"
    return "gate" if op.kind in ("se", "eca", "cbam", "gate") else op.kind


def _above(ops: dict[int, ReadOp], end: int) -> list[ReadOp]:
    """The ops on which a value depends, in order."""
    wanted, waiting = set[int](), [end]
    while waiting:
        value = waiting.pop()
        if value in ops and value not in wanted:
            wanted.add(value)
            waiting += ops[value].inputs
    return [op for op in ops.values() if op.id in wanted]


def _chain(ops: Sequence[ReadOp], start: int, end: int) -> Chain:
    uses: dict[int, int] = {end: 1}
    for op in ops:
        for value in op.inputs:
            uses[value] = uses.get(value, 0) + 1
    live = {start} if uses.get(start) else set[int]()
    items: list[Item] = []
    segment: list[ReadOp] = []
    here = start
    for op in ops:
        segment.append(op)
        for value in op.inputs:
            uses[value] -= 1
            if not uses[value]:
                live.discard(value)
        if uses.get(op.id):
            live.add(op.id)
        if live <= {op.id}:
            items.append(_item(segment, here))
            segment, here = [], op.id
    return tuple(items)


def _item(segment: list[ReadOp], start: int) -> Item:
    join = segment[-1]
    if len(segment) == 1 and len(join.inputs) < 2:
        return join
    if len(segment) == 1:
        return join._replace(kind="doubled", inputs=join.inputs[:1])
    inside = {op.id: op for op in segment[:-1]}
    parts = [_above(inside, value) for value in join.inputs]
    shared = sum(len(part) for part in parts) > len({op.id for part in parts for op in part})
    if shared:  # not taken apart: each layer of a DenseNet would contain all before it once more
        return Region(join, tuple(map(tuple, parts)), tangled=True)
    return _gate(
        Region(join, tuple(_chain(part, start, value) for part, value in zip(parts, join.inputs, strict=True)))
    )


# ---- simpler ops ----


def _simplified(ops: Sequence[ReadOp]) -> Iterator[ReadOp]:
    """Without ops that change nothing; scale and shift by constants of the network are a frozen norm, two means a pool."""
    shapes: dict[int, tuple[int, ...]] = {}
    renamed: dict[int, int] = {}
    kept: list[ReadOp] = []
    for op in ops:
        op = op._replace(inputs=tuple(renamed.get(value, value) for value in op.inputs))
        before = shapes.get(op.inputs[0]) if op.inputs else None
        shapes[op.id] = op.out
        last = kept[-1] if kept else None
        follows = last is not None and op.inputs == (last.id,)
        if op.kind == "slice" and before == op.out:
            renamed[op.id] = op.inputs[0]
        elif follows and last is not None and (op.kind, last.kind) == ("shift", "scale") and _constants(op, last):
            kept[-1] = last._replace(
                id=op.id, kind="frozen_norm", out=op.out, attrs={"eps": None, "training": False, "affine": True}
            )
        elif follows and last is not None and op.kind == "mean" and last.kind == "mean" and len(before or ()) in (3, 4):
            kept[-1] = last._replace(id=op.id, kind="global_avg_pool", out=op.out, attrs={})
        elif op.kind == "conv" and op.attrs["kernel"] == 1 and (before or ())[2:] == (1, 1) and _pooled(kept, op):
            kept.append(op._replace(kind="linear"))  # timm's resnetv2 has a 1x1 convolution as its classifier
        else:
            kept.append(op)
    yield from kept


def _pooled(ops: Sequence[ReadOp], conv: ReadOp) -> bool:
    """Whether a convolution reads the one cell of a pool."""
    source = next((op for op in reversed(ops) if op.id in conv.inputs), None)
    while source is not None and source.kind in ("dropout", "reshape"):
        source = next((op for op in reversed(ops) if op.id in (source.inputs if source else ())), None)
    return source is not None and source.kind in ("global_avg_pool", "avg_pool")


def _constants(*ops: ReadOp) -> bool:
    return all(op.attrs.get("by") is None for op in ops)


# ---- gates ----


def _gate(region: Region) -> Item:
    """A gate as one op, where a region multiplies a value with factors that are computed from it."""
    identity = [path for path in region.paths if not path]
    other = [path for path in region.paths if path]
    if region.join.kind != "mul" or len(identity) != 1 or len(other) != 1:
        return region
    ops = list(flat(other[0]))
    kinds = [op.kind for op in ops]
    squeezes = any(op.kind in ("global_avg_pool", "adaptive_max_pool", "mean", "amax") for op in ops)
    if "sigmoid" not in kinds or not squeezes:
        return region
    convs = [op for op in ops if op.kind in ("conv", "linear")]
    layered = len(convs) == 2 and not any(isinstance(item, Region) for item in other[0])
    if layered:
        kind, attrs = "se", {"squeezed": convs[0].attrs["c_out"]}
    elif "conv1d" in kinds:
        kind, attrs = "eca", {}
    elif "cat" in kinds:
        kind, attrs = "cbam_spatial", {}
    elif any(isinstance(item, Region) for item in other[0]) and convs:
        kind, attrs = "cbam", {"squeezed": convs[0].attrs["c_out"]}
    else:
        kind, attrs = "gate", {}
    return region.join._replace(kind=kind, attrs=attrs, inputs=region.join.inputs[:1])
