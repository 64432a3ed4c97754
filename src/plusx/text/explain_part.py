"""One stage, block or op in sentences: shapes through it, its counts, what it is called elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from plusx.analysis import Analysis, Row
from plusx.errors import GeometryError, unknown
from plusx.graph import Block, Graph, Op
from plusx.names import names_of
from plusx.text.entries import layer_numbers
from plusx.text.explain import Section, shortcut_reason
from plusx.text.notation import JOINS, block_text, groups, op_text, stage_names


def explain_part(analysis: Analysis, name: str) -> list[Section]:
    """A stage (`layer2`), a block (`layer2.0`) or an op (`layer2.0.conv2`). Raises GeometryError with the nearest name."""
    graph = analysis.graph
    for stage in graph.stages:
        if stage.name == name:
            return list(_stage(analysis, name))
        for block in stage.blocks:
            if block.name == name:
                return list(_block(analysis, block))
    if name not in {op.name for op in graph.ops}:
        raise GeometryError(_unknown(graph, name))
    return list(_op(analysis, graph[name]))


def _unknown(graph: Graph, name: str) -> str:
    known = [op.name for op in graph.ops] + [stage.name for stage in graph.stages]
    known += [block.name for stage in graph.stages for block in stage.blocks]
    return unknown("op", name, known, listing="plusx show --detail ops" if len(known) >= 40 else "")


def _stage(analysis: Analysis, name: str) -> Iterator[Section]:
    stage = next(stage for stage in analysis.graph.stages if stage.name == name)
    row = next(row for row in analysis.stages if row.name == name)
    c_in, h, w = stage.blocks[0].c_in, *shape_before(analysis, stage.blocks[0].ops[0].name)
    lines = [
        f"{' = '.join(stage_names(name))}: {len(stage.blocks)} blocks, {c_in}x{h}x{w} in, {row.channels}x{row.out[0]}x{row.out[1]} out"
    ]
    lines += [f"{len(group.blocks)}× {group.name}: {block_text(group.blocks[0])}" for group in groups(stage)]
    lines.append(f"{row.params:,} params, {row.macs:,} MACs; field {row.rf} px, cells {row.jump} px apart")
    yield Section(name, lines)


def _block(analysis: Analysis, block: Block) -> Iterator[Section]:
    rows = [analysis[op.name] for op in block.ops]
    numbers = layer_numbers(analysis)
    counted = [str(numbers[op.name]) for op in block.ops if op.name in numbers]
    yield Section(block.name, [
        block_text(block),
        f"counted layers {', '.join(counted)}; {sum(row.params for row in rows):,} params, {sum(row.macs for row in rows):,} MACs; field {rows[-1].rf} px behind it",
    ])  # fmt: skip
    yield Section("shapes", [f"{op.local_name}: {shapes(analysis, op)}, {op_text(op)}" for op in block.ops])
    if block.shortcut:
        text = shortcut_reason(block, analysis.graph)
    elif block.join:
        text = "identity: channels and size stay, so x joins as it is"
    else:
        text = "none: a plain block, its output is F(x) alone"
    yield Section("shortcut", [text])
    yield Section(
        "names elsewhere", [f"{op.local_name}: {_names(analysis.graph, op)}" for op in block.ops if op.kind == "conv"]
    )


def _op(analysis: Analysis, op: Op) -> Iterator[Section]:
    row = analysis[op.name]
    assert isinstance(row, Row)
    number = layer_numbers(analysis).get(op.name)
    where = f"counted layer {number}" if number else "not a counted layer"
    lines = [
        f"{op_text(op)}: {shapes(analysis, op)}",
        f"{where}; field {row.rf} px, cells {row.jump} px apart, first centre at {row.start:g} px",
    ]
    if op.kind in JOINS:
        lines.append(f"the join: {JOINS[op.kind]}, where F is the branch and x the shortcut")
    for tensor in op.tensors:
        kind = "trained" if tensor.trained else "a buffer"
        lines.append(f"{op.path}.{tensor.name}: {'x'.join(map(str, tensor.shape)) or 'one number'}, {kind}")
    lines += _counts(op, row)
    yield Section(op.name, lines)
    yield Section(
        "names elsewhere", [f"{ecosystem}: {name}" for ecosystem, name in names_of(analysis.graph, op.name).items()]
    )


def _counts(op: Op, row: Row) -> list[str]:
    """Params and MACs as the products they are."""
    if op.kind == "conv":
        c_out, c_in, k, _ = op.tensors[0].shape
        h, w = row.out
        return [
            f"params: {c_out}·{c_in}·{k}·{k}{f' + {c_out}' if op.bias else ''} = {row.params:,}",
            f"MACs: {c_out}·{c_in}·{k}·{k} weights times {h}·{w} places = {row.macs:,}",
        ]
    if op.kind == "linear":
        c_out, c_in = op.tensors[0].shape
        return [f"params: {c_out}·{c_in} + {c_out} = {row.params:,}", f"MACs: {c_out}·{c_in} = {row.macs:,}"]
    if row.params or row.macs:
        trained = " + ".join(str(prod(t.shape)) for t in op.tensors if t.trained)
        return [f"params: {trained} = {row.params:,}", f"MACs: {row.macs:,}"]
    return ["no weights that train, no MACs"]


def shapes(analysis: Analysis, op: Op) -> str:
    """`256x56x56 to 128x56x56`: what goes in and what comes out."""
    row, (h, w) = analysis[op.name], shape_before(analysis, op.name)
    return f"{op.c_in}x{h}x{w} to {op.c_out}x{row.out[0]}x{row.out[1]}"


def shape_before(analysis: Analysis, name: str) -> tuple[int, int]:
    """Height and width of what an op reads."""
    graph = analysis.graph
    before = analysis.size_px
    for op in graph.stem:
        if op.name == name:
            return before
        before = analysis[op.name].out
    for stage in graph.stages:
        for block in stage.blocks:
            for path in (block.before + block.branch, block.shortcut):
                inside = (
                    before if path is not block.shortcut or not block.before else analysis[block.before[-1].name].out
                )
                for op in path:
                    if op.name == name:
                        return inside
                    inside = analysis[op.name].out
            for op in (*((block.join,) if block.join else ()), *block.after):
                if op.name == name:
                    return analysis[block.branch[-1].name].out
            before = analysis[block.ops[-1].name].out
    for op in graph.head:
        if op.name == name:
            return before
        before = analysis[op.name].out
    raise GeometryError(_unknown(graph, name))


def _names(graph: Graph, op: Op) -> str:
    """`res3a_branch2a (Caffe); …`, ecosystems that agree together."""
    together: dict[str, list[str]] = {}
    for ecosystem, name in names_of(graph, op.name).items():
        together.setdefault(name, []).append(ecosystem)
    return "; ".join(f"{name} ({', '.join(who)})" for name, who in together.items())
