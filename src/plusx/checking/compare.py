"""The user's ops beside the graph of a spec: every place that deviates, as a code with values and without words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

from plusx.checking.blocks import ReadBlock, Structure
from plusx.checking.chains import Region, flat, role
from plusx.checking.nearest import shortcut_kind, stages_of, zero_front
from plusx.checking.record import ReadOp
from plusx.graph import Block, Graph, Op
from plusx.graph.kinds import KINDS

ROLES = {"conv": "conv", "norm": "norm", "activation": "act", "drop": "dropout", "gate": "gate", "pool": "pool"}


class Deviation(NamedTuple):
    """One deviating place: its code (`findings.TEXTS`), the user's own name, the op or block of the graph, and values."""

    code: str
    place: str
    mark: str
    values: tuple[tuple[str, Any], ...] = ()


def deviation(code: str, place: str, mark: str, **values: Any) -> Deviation:
    return Deviation(code, place, mark, tuple(values.items()))


def alignment(found: Structure, graph: Graph) -> dict[int, str]:
    """The op of the graph beside each of the user's convolutions, norms and linear layers, where their numbers agree."""
    pairs: list[tuple[Sequence[ReadOp], Sequence[Op]]] = [
        (list(flat(found.stem)), graph.stem),
        (list(flat(found.head)), graph.head),
    ]
    blocks = [block for stage in graph.stages for block in stage.blocks]
    if len(blocks) == len(found.blocks):
        for block, ours in zip(found.blocks, blocks, strict=True):
            pairs += [
                (list(flat((*block.before, *block.branch))), ours.before + ours.branch),
                (list(flat(block.shortcut)), ours.shortcut),
            ]
    result: dict[int, str] = {}
    for mine, theirs in pairs:
        for kind in ("conv", "norm", "linear"):
            a, b = ([op for op in mine if role(op) == kind], [op for op in theirs if KINDS[op.kind].role == kind])
            if len(a) == len(b):
                result |= {op.id: other.name for op, other in zip(a, b, strict=True)}
    return result


def compare(found: Structure, graph: Graph) -> list[Deviation]:
    """All places where the structure deviates from the graph."""
    result = list(_stem(found, graph))
    stages = stages_of(found.blocks)
    for theirs, stage in zip_longest(stages, graph.stages):
        if theirs is None or stage is None:
            place = theirs[0].place if theirs else stages[-1][-1].place
            mark = f"{stage.blocks[0].name}/block" if stage else f"{graph.stages[-1].name}/section"
            result.append(deviation("stages", place, mark, found=len(stages), expected=len(graph.stages)))
            break
        for number, (block, ours) in enumerate(zip_longest(theirs, stage.blocks)):
            if block is None:
                name = f"{ours.name}/block"
                result.append(
                    deviation(
                        "missing_block",
                        theirs[-1].place,
                        name,
                        stage=stage.name,
                        found=len(theirs),
                        expected=len(stage.blocks),
                    )
                )
                break
            if ours is None:
                name = f"{stage.blocks[-1].name}/block"
                result.append(
                    deviation(
                        "extra_block",
                        block.place,
                        name,
                        stage=stage.name,
                        found=len(theirs),
                        expected=len(stage.blocks),
                    )
                )
                break
            result += _block(block, ours, graph, first=number == 0)
    result += _overwritten(found, graph)
    result += _head(found, graph)
    return result


def _overwritten(found: Structure, graph: Graph) -> Iterator[Deviation]:
    """In-place activations of a block that overwrite the value which its shortcut reads, as far as module names show it."""
    ends: list[Sequence[ReadOp]] = [
        list(flat(found.stem))[-1:],
        *(list(flat(block.after)) for block in found.blocks),
    ]
    owners = ["", *(block.join.module if block.join is not None else "" for block in found.blocks)]
    names = [block.name for stage in graph.stages for block in stage.blocks]
    for ops, owner, block, own, name in zip(ends, owners, found.blocks, owners[1:], names, strict=False):
        for op in ops:
            theirs = bool(own) and own != owner and f"{op.module}.".startswith(f"{own}.")
            if theirs and role(op) == "act" and op.attrs.get("inplace") and not block.shortcut:
                yield deviation("inplace_shortcut", op.place, f"{name}/shortcut")


# ---- blocks ----


def _block(block: ReadBlock, ours: Block, graph: Graph, first: bool) -> Iterator[Deviation]:
    pre = graph.spec.order == "pre"
    mark = f"{ours.name}/block"
    if block.tangled or block.others:
        yield deviation("tangled", block.place, mark)
        return
    if block.join is None and ours.join is not None:
        twice = any(op.kind == "doubled" for op in block.ops)
        yield deviation("added_twice" if twice else "no_shortcut", block.place, ours.join.name)
        if len(block.convs) != sum(op.kind == "conv" for op in ours.branch):
            return
    elif block.join is not None and ours.join is None:
        yield deviation("unwanted_shortcut", block.place, mark)
    if block.stray:
        code = "early_join" if block.early else "late_shortcut"
        yield deviation(code, block.place, f"{ours.name}/shortcut", op=_local(block.stray))
        return
    if block.join is not None and ours.join is not None:
        if ours.join.kind in WEIGHING:
            block = _weighed(block, ours.join)
        yield from _join(block, ours)
    branch, shared = list(ours.branch), list(ours.before)
    yield from _branch(block, branch, shared, ours, pre, graph)
    if block.join is not None and ours.join is not None:
        yield from _shortcut(block, ours, graph, first)


WEIGHING = ("modulate", "attend")
"""Joins that multiply the shortcut by a sigmoid of the branch, which several ops compute."""


def _weighed(block: ReadBlock, join: Op) -> ReadBlock:
    """The block without the ops that such a join consists of, where they are there."""
    assert block.join is not None
    end = len(block.branch)
    while end and not isinstance(last := block.branch[end - 1], Region) and last.kind in ("sigmoid", "scale", "shift"):
        end -= 1
    if block.join.kind != "mul" or end == len(block.branch):
        return block
    return replace(block, branch=block.branch[:end], join=block.join._replace(kind=join.kind))


def _local(chain: Sequence[Any]) -> str:
    """`conv1` of the first convolution of a chain."""
    return next(op.module for op in flat(tuple(chain)) if op.kind == "conv").rpartition(".")[2]


def _join(block: ReadBlock, ours: Block) -> Iterator[Deviation]:
    join = block.join
    assert join is not None and ours.join is not None
    if join.kind != ours.join.kind:
        code = "concatenated" if join.kind in ("cat", "stack") else "join"
        yield deviation(code, join.place, ours.join.name, found=join.kind, expected=ours.join.kind)
    elif join.attrs.get("alpha", 1) != 1:
        yield deviation("scaled_join", join.place, ours.join.name, by=join.attrs["alpha"])


def _branch(
    block: ReadBlock, branch: list[Op], shared: list[Op], ours: Block, pre: bool, graph: Graph
) -> Iterator[Deviation]:
    mine = [item for item in block.branch if not isinstance(item, Region)]
    if len(mine) != len(block.branch):
        yield deviation("tangled", block.place, f"{ours.name}/block")
        return
    convs, expected = [op for op in mine if op.kind == "conv"], [op for op in branch if op.kind == "conv"]
    if len(convs) != len(expected):
        yield deviation("branch_length", block.place, f"{ours.name}/block", found=len(convs), expected=len(expected))
        return
    before = list(flat(block.before))
    if pre:
        yield from _in_place(before, shared, ours)
        if shared and not before and not _reads_activated(block):
            yield deviation("raw_projection", block.place, f"{ours.name}/shortcut")
        mine = [*before, *mine]
        branch = [*shared, *branch]
    gaps, theirs = _gaps(mine), _gaps(branch)
    after = list(flat(block.after))
    place = block.join.place if block.join is not None else block.place
    end = ours.join.name if ours.join else f"{ours.name}/block"
    last, wanted = gaps[-1], [*theirs[-1]]
    tail, tail_wanted = after, list(ours.after)
    moved = _moved(last, wanted, tail, tail_wanted, place, end, pre)
    yield from moved
    if moved:
        last, wanted, tail, tail_wanted = [], [], [], []
    for number, (gap, expected_gap) in enumerate(zip(gaps[:-1], theirs[:-1], strict=True)):
        anchor = convs[number] if pre else convs[max(number - 1, 0)]
        yield from _gap(gap, expected_gap, anchor, expected[number if pre else max(number - 1, 0)].name)
    yield from _gap(last, wanted, convs[-1], expected[-1].name, end=True)
    yield from _gap(tail, tail_wanted, None, end, place=place, end=True, after=True)
    yield from _convs(convs, expected)


def _reads_activated(block: ReadBlock) -> bool:
    """Whether the shortcut has a norm or an activation of its own, or no convolution."""
    kinds = [role(op) for op in flat(block.shortcut)]
    return "conv" not in kinds or bool({"norm", "act"} & set(kinds[: kinds.index("conv")]))


def _convs(convs: list[ReadOp], expected: list[Op]) -> Iterator[Deviation]:
    """The convolutions of a branch; a stride in another one of them is one finding instead of two."""
    have, want = ([op.attrs["stride"] for op in convs], [op.stride for op in expected])
    moved = have != want and sorted(map(str, have)) == sorted(map(str, want))
    if moved:
        at, instead = (next(i for i, stride in enumerate(each) if stride != 1) for each in (have, want))
        yield deviation(
            "stride_place", convs[at].place, expected[at].name, found=f"conv{at + 1}", expected=f"conv{instead + 1}"
        )
    for conv, op in zip(convs, expected, strict=True):
        usual = op._replace(stride=conv.attrs["stride"]) if moved else op
        yield from _conv(conv, usual)


def _in_place(before: list[ReadOp], shared: list[Op], ours: Block) -> Iterator[Deviation]:
    """An activation that overwrites the input of a block whose shortcut reads that input."""
    if shared:
        return
    for op in before:
        if role(op) == "act" and op.attrs.get("inplace"):
            yield deviation("inplace_shortcut", op.place, f"{ours.name}/shortcut")


def _moved(
    last: list[ReadOp], wanted: list[Op], tail: list[ReadOp], tail_wanted: list[Op], place: str, mark: str, pre: bool
) -> list[Deviation]:
    """A norm or an activation on the wrong side of the join: one finding instead of two."""
    if pre:
        return []
    a, b = [role(op) for op in last], [ROLES[KINDS[op.kind].role] for op in wanted]
    c, d = [role(op) for op in tail], [ROLES[KINDS[op.kind].role] for op in tail_wanted]
    if d != ["act"]:
        return []
    rest = [each for each in b if each != "norm"]
    if a == [*b, "act"] and c == []:
        return [deviation("relu_before_add", place, mark, act=last[-1].kind)]
    if a == rest and c == ["norm", "act"] and "norm" in b:
        return [deviation("norm_after_add", place, mark, norm=tail[0].kind)]
    return []


def _gaps(ops: Sequence[Any]) -> list[list[Any]]:
    """What stands before, between and behind the convolutions."""
    found: list[list[Any]] = [[]]
    for op in ops:
        if op.kind == "conv":
            found.append([])
        elif op.kind == "cbam_spatial" and found[-1] and found[-1][-1].kind == "cbam":
            pass  # the second half of the gate
        elif op.kind not in ("reshape", "doubled"):
            found[-1].append(op)
    return found


def _gap(
    gap: list[ReadOp],
    expected: list[Op],
    conv: ReadOp | None,
    mark: str,
    *,
    place: str = "",
    end: bool = False,
    after: bool = False,
) -> Iterator[Deviation]:
    """Light ops at one place beside those that are expected there."""
    wanted = [ROLES[KINDS[op.kind].role] for op in expected]
    place = place or (conv.place if conv is not None else "")
    ignored = [op for op in gap if role(op) == "dropout" and op.attrs.get("training")]
    for op in ignored:
        yield deviation("dropout_always", op.place, mark)
    gap = [op for op in gap if op not in ignored and not (role(op) == "dropout" and not op.attrs.get("rate"))]
    have = [role(op) for op in gap]
    pairs = list(zip(gap, expected, strict=False)) if have == wanted else []
    if have != wanted:
        if sorted(have) == sorted(wanted):
            yield deviation(
                "order",
                place,
                mark,
                found=" → ".join(op.kind for op in gap),
                expected=" → ".join(op.kind for op in expected),
            )
            return
        left = list(expected)
        for op in gap:
            match = next((each for each in left if ROLES[KINDS[each.kind].role] == role(op)), None)
            if match is None:
                yield _extra(op, mark, after=after, end=end)
            else:
                pairs.append((op, match))
                left.remove(match)
        for op in left:
            kind = ROLES[KINDS[op.kind].role]
            if kind == "act":
                yield deviation("no_relu_after_add" if after else "missing_act", place, mark, act=op.kind)
            elif kind == "norm":
                yield deviation("missing_norm", place, mark, norm=op.kind)
            elif kind == "gate":
                yield deviation("missing_gate", place, mark, gate=op.kind)
            elif kind == "dropout":
                yield deviation("missing_dropout", place, mark, rate=op.rate)
    for op, ours in pairs:
        yield from _same(op, ours, mark)


def _extra(op: ReadOp, mark: str, *, after: bool, end: bool) -> Deviation:
    kind = role(op)
    if kind == "act":
        if after:
            return deviation("act_after_join", op.place, mark, act=op.kind)
        return deviation("act_at_end" if end else "extra_act", op.place, mark, act=op.kind)
    if kind == "norm":
        return deviation("norm_after_join" if after else "extra_norm", op.place, mark, norm=op.kind)
    if kind == "dropout":
        return deviation("dropout_place", op.place, mark, rate=op.attrs.get("rate"))
    if kind == "gate":
        return deviation("gate_after_join" if after else "extra_gate", op.place, mark, gate=op.kind)
    if kind in ("scale", "shift"):
        return deviation("scaled_branch", op.place, mark, by=op.attrs.get("by"))
    return deviation("extra_op", op.place, mark, op=op.kind)


def _same(op: ReadOp, ours: Op, mark: str) -> Iterator[Deviation]:
    """An op of the right role: whether it is of the right kind, and has usual numbers."""
    kind = role(op)
    name = mark if mark.endswith(("/block", "/section", ".add")) else ours.name
    if kind in ("act", "norm", "gate") and op.kind != ours.kind:
        yield deviation(f"{kind}_kind", op.place, name, found=op.kind, expected=ours.kind)
    elif kind == "norm" and op.kind == "group_norm" and op.attrs["groups"] != ours.groups:
        yield deviation("norm_groups", op.place, name, found=op.attrs["groups"], expected=ours.groups)
    elif kind == "gate" and op.attrs.get("squeezed") and op.attrs["squeezed"] != ours.gate.squeezed:
        yield deviation("gate_width", op.place, name, found=op.attrs["squeezed"], expected=ours.gate.squeezed)


def _conv(conv: ReadOp, op: Op, where: str = "branch") -> Iterator[Deviation]:
    """The numbers of a convolution, the most telling difference first."""
    have = conv.attrs
    if have["kernel"] != op.kernel:
        code = "shortcut_kernel" if where == "shortcut" else "kernel"
        yield deviation(code, conv.place, op.name, found=have["kernel"], expected=op.kernel)
        if have["stride"] != op.stride:
            yield deviation("stride", conv.place, op.name, found=have["stride"], expected=op.stride)
        return
    if have["c_in"] != op.c_in or have["c_out"] != op.c_out:
        yield deviation(
            "channels",
            conv.place,
            op.name,
            found=f"{have['c_in']} → {have['c_out']}",
            expected=f"{op.c_in} → {op.c_out}",
        )
    for name in ("stride", "dilation", "groups"):
        if have[name] != getattr(op, name):
            yield deviation(name, conv.place, op.name, found=have[name], expected=getattr(op, name))
    kept = have["dilation"] == op.dilation or have["padding"] != have["dilation"] * (op.kernel - 1) // 2
    if have["padding"] != op.padding and kept:
        yield deviation("padding", conv.place, op.name, found=have["padding"], expected=op.padding, kernel=op.kernel)


# ---- shortcuts ----


def _shortcut(block: ReadBlock, ours: Block, graph: Graph, first: bool) -> Iterator[Deviation]:
    kind, mark = shortcut_kind(block), f"{ours.name}/shortcut"
    kinds = {op.kind for op in ours.shortcut}
    expected = (
        "identity"
        if not kinds
        else "zeros"
        if "zero_pad" in kinds
        else "pooled"
        if kinds - {"conv", "batch_norm", "group_norm", "frozen_norm"}
        else "projection"
    )
    ops = list(flat(block.shortcut))
    place = next((op.place for op in ops if op.kind == "conv"), ops[0].place if ops else block.place)
    if kind != expected:
        if expected == "identity" and kind == "projection":
            code = "first_projection" if first else "needless_projection"
            yield deviation(code, place, mark)
        elif expected == "identity" and ops and kind == "identity":
            pass
        else:
            yield deviation("shortcut_kind", place, mark, found=kind, expected=expected)
        return
    for op in ops:
        if role(op) == "act":
            yield deviation("shortcut_act", op.place, mark, act=op.kind)
        elif role(op) == "dropout":
            yield deviation("dropout_place", op.place, mark, rate=op.attrs.get("rate"))
    if expected == "identity":
        for op in ops:
            if role(op) == "norm":
                yield deviation("identity_norm", op.place, mark, norm=op.kind)
        return
    if expected == "zeros":
        front = zero_front(block.shortcut)
        ours_pad = next(op for op in ours.shortcut if op.kind == "zero_pad")
        if isinstance(front, int) and bool(front) != bool(ours_pad.padding):
            yield deviation("zero_front", place, mark, found=front, expected=ours_pad.padding)
        return
    convs = [op for op in ops if op.kind == "conv"]
    if len(convs) != 1:
        yield deviation("shortcut_length", place, mark, found=len(convs))
        return
    yield from _conv(convs[0], next(op for op in ours.shortcut if op.kind == "conv"), "shortcut")
    norms, wanted = (
        [op for op in ops if role(op) == "norm"],
        [op for op in ours.shortcut if KINDS[op.kind].role == "norm"],
    )
    if wanted and not norms:
        yield deviation("shortcut_norm", place, mark, norm=wanted[0].kind)
    elif norms and not wanted:
        yield deviation("extra_norm", norms[0].place, mark, norm=norms[0].kind)
    for op, other in zip(norms, wanted, strict=False):
        yield from _same(op, other, mark)


# ---- stem and head ----


def _stem(found: Structure, graph: Graph) -> Iterator[Deviation]:
    if any(isinstance(item, Region) for item in found.stem):
        yield deviation("stem_branches", "stem", graph.stem[0].name)
        return
    mine = [item for item in found.stem if not isinstance(item, Region)]
    pools, expected_pools = (
        [op for op in mine if role(op) == "pool"],
        [op for op in graph.stem if op.kind == "max_pool"],
    )
    convs, expected = [op for op in mine if op.kind == "conv"], [op for op in graph.stem if op.kind == "conv"]
    place = convs[0].place if convs else "stem"
    if len(convs) != len(expected):
        yield deviation("stem_length", place, graph.stem[0].name, found=len(convs), expected=len(expected))
        return
    for conv, op in zip(convs, expected, strict=True):
        yield from _conv(conv, op)
    order, wanted = [op for op in mine if role(op) != "pool"], [op for op in graph.stem if op.kind != "max_pool"]
    for number, (gap, other) in enumerate(zip(_gaps(order), _gaps(wanted), strict=True)):
        yield from _gap(gap, other, convs[max(number - 1, 0)], expected[max(number - 1, 0)].name)
    if expected_pools and not pools:
        yield deviation("no_stem_pool", place, "maxpool")
    elif pools and not expected_pools:
        yield deviation("stem_pool_added", pools[0].place, graph.stem[0].name)
    elif pools:
        yield from _pool(pools[0], expected_pools[0])


def _pool(pool: ReadOp, op: Op) -> Iterator[Deviation]:
    if pool.kind != "max_pool":
        yield deviation("stem_pool_kind", pool.place, op.name, found=pool.kind)
        return
    have = (pool.attrs["kernel"], pool.attrs["stride"], pool.attrs["padding"], pool.attrs["ceil"])
    want = (op.kernel, op.stride, op.padding, op.ceil)
    if have != want:
        words = [
            ", ".join(
                f"{name}={value}"
                for name, value in zip(("kernel_size", "stride", "padding", "ceil_mode"), each, strict=True)
            )
            for each in (have, want)
        ]
        yield deviation("stem_pool", pool.place, op.name, found=words[0], expected=words[1])


def _head(found: Structure, graph: Graph) -> Iterator[Deviation]:
    head = list(flat(found.head))
    if graph.spec.until is not None:
        return
    last = found.blocks[-1].place if found.blocks else "stem"
    if graph.spec.order == "pre":
        light = [op for op in head if role(op) in ("norm", "act") and not _later(head, op, "linear")]
        kinds = [role(op) for op in light]
        wanted = ["norm", "act"] if graph.spec.norm != "none" else ["act"]
        if [kind for kind in kinds if kind in ("norm", "act")][: len(wanted)] != wanted:
            yield deviation("final_norm", last, graph.head[0].name)
    pools = [op for op in head if role(op) == "pool"]
    linears = [op for op in head if op.kind == "linear"]
    yield from _head_pool(head, pools, linears)
    if linears and len(linears) > 1:
        yield deviation("extra_linear", linears[0].place, "fc", found=len(linears))
    for op in head:
        if op.kind in ("softmax", "log_softmax", "sigmoid") and _later(head, op, "linear"):
            yield deviation(op.kind if op.kind != "sigmoid" else "final_sigmoid", op.place, "fc")
        elif role(op) == "act" and _later(head, op, "linear") and len(linears) == 1:
            yield deviation("act_after_fc", op.place, "fc", act=op.kind)
        elif op.kind == "dropout" and op.attrs.get("training"):
            yield deviation("dropout_always", op.place, "fc")
        elif op.kind == "dropout" and op.attrs.get("rate") and _later(head, op, "linear"):
            yield deviation("dropout_place", op.place, "fc", rate=op.attrs["rate"])
        elif op.kind == "reshape" and op.attrs.get("whole"):
            yield deviation("squeeze", op.place, "avgpool")


def _head_pool(head: list[ReadOp], pools: list[ReadOp], linears: list[ReadOp]) -> Iterator[Deviation]:
    if not pools:
        if linears:
            yield deviation("no_global_pool", linears[0].place, "avgpool", features=linears[0].attrs["c_in"])
        return
    pool = pools[-1]
    if "max" in pool.kind:
        yield deviation("max_pool_head", pool.place, "avgpool")
    elif pool.kind in ("avg_pool", "adaptive_avg_pool") and pool.out[2:] not in ((1, 1),):
        yield deviation("pool_leaves", pool.place, "avgpool", found="x".join(map(str, pool.out[2:])))


def _later(head: list[ReadOp], op: ReadOp, kind: str) -> bool:
    """Whether `op` stands behind an op of that kind."""
    return any(each.kind == kind for each in head[: head.index(op)])
