"""How a network's depth is counted: 50 = 1 + 3·(3+4+6+3) + 1."""

from __future__ import annotations

from typing import NamedTuple

from plusx.graph import Graph, Op
from plusx.specs import base_preset


class Depth(NamedTuple):
    """`counted` by the family's own rule with the `sum` that shows it; all convolutions; all ops with weights."""

    counted: int
    sum: str
    counted_ops: tuple[str, ...]
    convs: int
    weighted: int


def depth(graph: Graph) -> Depth:
    """The depth as the network's family counts it; a deep stem counts once.

    ImageNet and CIFAR nets count stem, branch convolutions and fc (arXiv 1512.03385, table 1 and 4.2); wide ResNets count
    their projections instead of fc (arXiv 1605.07146, table 1: 6n+4).
    """
    wide = base_preset(graph.spec).startswith("wrn_")
    per_block = 2 if graph.spec.block == "basic" else 3
    blocks = [len(stage.blocks) for stage in graph.stages]
    names = ["conv1"]
    terms = ["1"]
    if blocks:
        terms.append(f"{per_block}·({'+'.join(map(str, blocks))})")
    projections = 0
    for stage in graph.stages:
        for block in stage.blocks:
            names += [op.name for op in block.before + block.branch if op.kind == "conv"]
            if wide:
                found = [op.name for op in block.shortcut if op.kind == "conv"]
                names, projections = names + found, projections + len(found)
    if wide and projections:
        terms.append(f"{projections} (projections)")
    has_fc = bool(graph.head) and graph.head[-1].kind == "linear"
    if has_fc and not wide:
        terms.append("1 (fc)")
        names.append("fc")
    counted = 1 + per_block * sum(blocks) + (projections if wide else int(has_fc))
    convs = sum(op.kind == "conv" for op in graph.ops)
    return Depth(counted, f"{counted} = {' + '.join(terms)}", tuple(names), convs, convs + sum(map(_is_fc, graph.ops)))


def _is_fc(op: Op) -> bool:
    return op.kind == "linear"
