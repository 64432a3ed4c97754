"""The user's ops beside the graph of a spec: every place that deviates, as a code with values and without words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from plusx.checking.blocks import ReadBlock, Structure
from plusx.checking.chains import Region, flat, role
from plusx.checking.differences import ROLES, Deviation, conv_deviations, deviation, gap_deviations, gaps_of, same_role
from plusx.checking.ends import head_deviations, stem_deviations
from plusx.checking.nearest import shortcut_kind, stages_of, zero_front
from plusx.checking.record import ReadOp
from plusx.graph import Block, Graph, Op
from plusx.graph.kinds import KINDS


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
    result = list(stem_deviations(found, graph))
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
    result += head_deviations(found, graph)
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
    gaps, theirs = gaps_of(mine), gaps_of(branch)
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
        yield from gap_deviations(gap, expected_gap, anchor, expected[number if pre else max(number - 1, 0)].name)
    yield from gap_deviations(last, wanted, convs[-1], expected[-1].name, end=True)
    yield from gap_deviations(tail, tail_wanted, None, end, place=place, end=True, after=True)
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
        yield from conv_deviations(conv, usual)


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
    yield from conv_deviations(convs[0], next(op for op in ours.shortcut if op.kind == "conv"), "shortcut")
    norms, wanted = (
        [op for op in ops if role(op) == "norm"],
        [op for op in ours.shortcut if KINDS[op.kind].role == "norm"],
    )
    if wanted and not norms:
        yield deviation("shortcut_norm", place, mark, norm=wanted[0].kind)
    elif norms and not wanted:
        yield deviation("extra_norm", norms[0].place, mark, norm=norms[0].kind)
    for op, other in zip(norms, wanted, strict=False):
        yield from same_role(op, other, mark)
