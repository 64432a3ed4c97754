"""How ops, blocks and stages are written in tables and drawings: `Conv 3x3, c512, s2, p1`, `conv2_x`, `3×`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from plusx.graph import Block, Op, Stage

ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "silu": "SiLU", "gelu": "GELU", "hardswish": "Hardswish"}
NORMS = {"batch_norm": "BatchNorm", "group_norm": "GroupNorm", "frozen_norm": "FrozenNorm"}
JOINS = {"add": "F + x", "mul": "F × x", "modulate": "x × 2σ(F)", "attend": "x × (1 + σ(F))"}
SIGNS = {"add": "+", "mul": "×"}
"""Joins that are one sign between branch and shortcut; in the others the branch makes a factor of the shortcut."""
FACTORS = {"modulate": "2σ(F)", "attend": "(1 + σ(F))"}
GATES = {"se": "SE", "eca": "ECA", "cbam": "CBAM"}


def op_text(op: Op) -> str:
    """One op as the notes write it; dilation and groups where they are not 1, bias and ceil where there is one.

    >>> from plusx import lower
    >>> op_text(lower("resnet50 output_stride=8")["layer4.1.conv2"])
    'Conv 3x3, c512, s1, p4, d4'
    """
    kind, k, c = op.kind, f"{op.kernel}x{op.kernel}", f"c{op.c_out}"
    if kind in ("conv", "max_pool", "avg_pool"):
        name = {"conv": "Conv", "max_pool": "MaxPool", "avg_pool": "AvgPool"}[kind]
        extras = (("d", op.dilation), ("g", op.groups))
        tail = "".join(f", {letter}{value}" for letter, value in extras if value != 1)
        bias = ", bias" if op.bias else ""
        return f"{name} {k}, {c}, s{op.stride}, p{op.padding}{tail}{bias}{', ceil' if op.ceil else ''}"
    if kind in NORMS:
        return f"{NORMS[kind]}, {c}" + (f", g{op.groups}" if kind == "group_norm" else "")
    if kind in ACTIVATIONS:
        return ACTIVATIONS[kind]
    others = {
        "same_avg_pool": f"AvgPool {k}, {c}, s1, same",
        "dilated_avg_pool": f"AvgPool {k}, {c}, s1, d{op.dilation}",
        "zero_pad": f"ZeroPad c{op.c_in} to c{op.c_out}, s{op.stride}"
        + (f", {op.padding} in front" if op.padding else ""),
        "global_avg_pool": f"AvgPool global, {c}",
        "linear": f"Linear, {c}, bias",
        "dropout": f"Dropout {op.rate:g}",
        "drop_path": f"DropPath {op.rate:.3g}",
        **JOINS,
        **{gate: f"{name}, {c}" + (f", d{op.gate.step}" if op.gate.step != 1 else "") for gate, name in GATES.items()},
    }
    return others[kind]


def short_text(op: Op) -> str:
    """One op inside a block's line: `3x3 c128 s2`, values of 1 are omitted, and norms and activations are not written at all."""
    if op.kind == "conv":
        parts = (("s", op.stride), ("d", op.dilation), ("g", op.groups))
        return f"{op.kernel}x{op.kernel} c{op.c_out}" + "".join(
            f" {name}{value}" for name, value in parts if value != 1
        )
    if op.kind in ("avg_pool", "same_avg_pool", "dilated_avg_pool"):
        extra = {"avg_pool": f" s{op.stride}", "same_avg_pool": "", "dilated_avg_pool": f" d{op.dilation}"}[op.kind]
        return f"avg {op.kernel}x{op.kernel}{extra}"
    if op.kind == "zero_pad":
        return f"x, s{op.stride}, zeros to c{op.c_out}" if op.stride != 1 else f"x, zeros to c{op.c_out}"
    if op.kind in GATES:
        return GATES[op.kind]
    return op_text(op) if op.kind in ("dropout", "drop_path") else ""


def block_text(block: Block) -> str:
    """A whole block in one line: its branch, the join, its shortcut.

    >>> from plusx import lower
    >>> block_text(lower("resnet50").stages[1].blocks[0])
    '1x1 c128, 3x3 c128 s2, 1x1 c512 + 1x1 c512 s2'
    """
    branch = ", ".join(filter(None, map(short_text, block.branch)))
    if block.join is None:
        return branch
    x = ", ".join(filter(None, map(short_text, block.shortcut))) or "x"
    if block.join.kind in SIGNS:
        return f"{branch} {SIGNS[block.join.kind]} {x}"
    return f"F = {branch}; {FACTORS[block.join.kind]} × {x if x == 'x' else f'({x})'}"


def stage_names(name: str) -> tuple[str, ...]:
    """The four names of a stage: the paper's, the notes', torchvision's, Caffe's and detectron2's.

    >>> stage_names("layer1")
    ('conv2_x', 'stage 1', 'layer1', 'res2')
    """
    number = int(name.removeprefix("layer"))
    return f"conv{number + 1}_x", f"stage {number}", name, f"res{number + 1}"


class BlockGroup(NamedTuple):
    """Neighbouring blocks that are equal op by op, each with its own weights: drawn once, with `n×`."""

    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        first, last = self.blocks[0].name, self.blocks[-1].name
        return first if len(self.blocks) == 1 else f"{first}-{last.rpartition('.')[2]}"


def groups(stage: Stage) -> Iterator[BlockGroup]:
    """The stage's blocks, equal neighbours together. Two blocks are equal if all their ops are the same except for their names."""
    together: list[Block] = []
    last = None
    for block in stage.blocks:
        shape = shape_of(block)
        if together and shape != last:
            yield BlockGroup(tuple(together))
            together = []
        together.append(block)
        last = shape
    if together:
        yield BlockGroup(tuple(together))


def shape_of(block: Block) -> tuple[object, ...]:
    """The ops of a block without their names, to compare blocks."""
    return tuple(
        tuple(op._replace(name=op.local_name, path=None) for op in part)
        for part in (block.before, block.branch, block.shortcut, (block.join,) if block.join else (), block.after)
    )
