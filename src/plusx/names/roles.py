"""The role of each op of a graph and the numbers that occur in its names elsewhere."""

from __future__ import annotations

from typing import NamedTuple

from plusx.graph import Block, Graph, Op
from plusx.graph.kinds import ACTIVATIONS, GATES, NORMS, POOLS

LETTERED_BLOCKS = 6
"""Caffe's released networks use the letters a to f; networks with longer stages number the blocks of res3 and res4: a, b1, b2, …"""


class Role(NamedTuple):
    """A role of `dialects` and the values of its placeholders."""

    role: str
    numbers: dict[str, int | str]


def roles(graph: Graph) -> dict[str, Role]:
    """The roles of the ops that have a name in some ecosystem, by the op's name."""
    found: dict[str, Role] = {}
    _stem(graph, found)
    flat = 0
    for stage_number, stage in enumerate(graph.stages, 1):
        for block_number, block in enumerate(stage.blocks):
            numbers: dict[str, int | str] = {
                "s": stage_number, "s0": stage_number - 1, "s1": stage_number + 1, "i": block_number, "i1": block_number + 1,
                "flat": flat, "block": caffe_block(graph, stage_number, block_number),
            }  # fmt: skip
            _block(block, numbers, found)
            flat += 1
    for op in graph.head:
        role = {"global_avg_pool": "pool", "linear": "fc"}.get(op.kind, "last.norm" if op.kind in NORMS else None)
        if role:
            found[op.name] = Role(role, {})
    return found


def _stem(graph: Graph, found: dict[str, Role]) -> None:
    convs = [op for op in graph.stem if op.kind == "conv"]
    deep = len(convs) > 1
    for number, op in enumerate(convs):
        numbers: dict[str, int | str] = {"n": number, "n1": number + 1, "n3": 3 * number, "n31": 3 * number + 1}
        found[op.name] = Role("deep.conv" if deep else "stem.conv", numbers)
        following = graph.stem[graph.stem.index(op) + 1 :]
        norm = following[0] if following and following[0].kind in NORMS else None
        if norm is not None:
            last = number == len(convs) - 1
            role = "stem.norm" if last else "deep.norm"
            found[norm.name] = Role("deep.last" if last and deep else role, numbers)
    for op in graph.stem:
        if op.name in ("relu", "maxpool"):
            found[op.name] = Role("stem.act" if op.name == "relu" else "stem.pool", {})


def _block(block: Block, numbers: dict[str, int | str], found: dict[str, Role]) -> None:
    last = max(int(op.local_name[4:]) for op in block.branch if op.kind == "conv")
    for op in block.before + block.branch + block.after:
        role = _branch_role(op, last, post=bool(block.after))
        if role:
            k = int(op.local_name[-1]) if op.kind not in GATES else 0
            found[op.name] = Role(role, {**numbers, "k": k, "k0": k - 1, "abc": " abc"[k]})
    if block.join and block.join.kind == "add":
        found[block.join.name] = Role("join", numbers)
    _shortcut(block.shortcut, numbers, found)


def _shortcut(ops: tuple[Op, ...], numbers: dict[str, int | str], found: dict[str, Role]) -> None:
    """The roles of a shortcut. The convolution of a D shortcut has index 1 even without a pool, except in mmpretrain."""
    indices = {op.name: op.local_name.rpartition(".")[2] for op in ops}
    kind = "pooled" if any(op.kind == "conv" and indices[op.name] == "1" for op in ops) else "shortcut"
    m = 1 if any(op.kind in POOLS for op in ops) else 0
    for op in ops:
        part = "pool" if op.kind in POOLS else "norm" if op.kind in NORMS else op.kind
        if part in ("pool", "conv", "norm"):
            found[op.name] = Role(f"{kind}.{part}", {**numbers, "m": m, "m1": m + 1})


def _branch_role(op: Op, last: int, *, post: bool) -> str | None:
    if op.kind == "conv":
        return "conv"
    if op.kind in NORMS:
        return "norm"
    if op.kind in GATES:
        return "gate"
    if op.kind in ACTIVATIONS:
        return "out" if post and op.local_name == f"relu{last}" else "act"
    return None


def caffe_block(graph: Graph, stage: int, block: int) -> str:
    """Caffe's letter: a, b, c, …; a, b1, b2, … in res3 and res4 of networks with a long stage (ResNet-101, 152)."""
    depths = [len(each.blocks) for each in graph.stages]
    numbered = (max(depths) > LETTERED_BLOCKS and stage in (2, 3)) or depths[stage - 1] > 26
    if block == 0:
        return "a"
    return f"b{block}" if numbered else chr(ord("a") + block)
