"""One stage, block or op in sentences: its shapes, its counts, and its names in other libraries."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from plusx.analysis import Analysis, OpRow
from plusx.errors import GeometryError, unknown
from plusx.graph import Block, Graph, Op
from plusx.i18n import Message, _, _n
from plusx.names import names_of
from plusx.text.entries import layer_numbers
from plusx.text.network_explanation import Topic, shortcut_reason
from plusx.text.notation import JOINS, block_text, groups, op_text, stage_names


def explain_part(analysis: Analysis, name: str) -> list[Topic]:
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


def _unknown(graph: Graph, name: str) -> Message:
    known = [op.name for op in graph.ops] + [stage.name for stage in graph.stages]
    known += [block.name for stage in graph.stages for block in stage.blocks]
    return unknown(_("op"), name, known, listing="plusx show --detail ops" if len(known) >= 40 else "")


def _stage(analysis: Analysis, name: str) -> Iterator[Topic]:
    stage = next(stage for stage in analysis.graph.stages if stage.name == name)
    row = next(row for row in analysis.stages if row.name == name)
    c_in, h, w = stage.blocks[0].c_in, *shape_before(analysis, stage.blocks[0].ops[0].name)
    yield Topic(name, [
        _n(
            "{names}: {n} block, {before} in, {after} out.", "{names}: {n} blocks, {before} in, {after} out.",
            len(stage.blocks), names=" = ".join(stage_names(name)), before=f"{c_in}x{h}x{w}",
            after=f"{row.channels}x{row.out[0]}x{row.out[1]}",
        ),
        *(f"{len(group.blocks)}× {group.name}: {block_text(group.blocks[0])}" for group in groups(stage)),
        _(
            "{params:,} params, {macs:,} MACs; receptive field {rf} px, stride {stride} px.",
            params=row.params, macs=row.macs, rf=row.rf, stride=row.jump,
        ),
    ])  # fmt: skip


def _block(analysis: Analysis, block: Block) -> Iterator[Topic]:
    rows = [analysis[op.name] for op in block.ops]
    numbers = layer_numbers(analysis)
    counted = [str(numbers[op.name]) for op in block.ops if op.name in numbers]
    yield Topic(block.name, [
        block_text(block),
        _(
            "Counted layers {numbers}; {params:,} params, {macs:,} MACs; receptive field {rf} px behind the block.",
            numbers=", ".join(counted), params=sum(row.params for row in rows), macs=sum(row.macs for row in rows),
            rf=rows[-1].rf,
        ),
    ])  # fmt: skip
    yield Topic(
        _("shapes"),
        [
            _("{op}: {shapes}, {text}", op=op.local_name, shapes=_shapes(analysis, op), text=op_text(op))
            for op in block.ops
        ],
    )
    if block.shortcut:
        text = shortcut_reason(block, analysis.graph)
    elif block.join:
        text = _("The shortcut is x itself (identity): channels and size stay the same.")
    else:
        text = _("There is none: this is a plain block, and its output is F(x) alone.")
    yield Topic(_("shortcut"), [text])
    names = [f"{op.local_name}: {_names(analysis.graph, op)}" for op in block.ops if op.kind == "conv"]
    yield Topic(_("names elsewhere"), names)


def _op(analysis: Analysis, op: Op) -> Iterator[Topic]:
    row = analysis[op.name]
    assert isinstance(row, OpRow)
    number = layer_numbers(analysis).get(op.name)
    lines: list[str] = [
        _("{op}: {shapes}", op=op_text(op), shapes=_shapes(analysis, op)),
        _("Counted layer {number}.", number=number) if number else _("Not a counted layer."),
        _(
            "Receptive field {rf} px, stride {stride} px, first centre at {start:g} px.",
            rf=row.rf, stride=row.jump, start=row.start,
        ),
    ]  # fmt: skip
    if op.kind in JOINS:
        lines.append(_("The join is {formula}, where F is the branch and x is the shortcut.", formula=JOINS[op.kind]))
    for tensor in op.tensors:
        shape = "x".join(map(str, tensor.shape)) or _("one number")
        kind = _("parameter") if tensor.trained else _("buffer")
        lines.append(_("{key}: {shape}, {kind}", key=f"{op.path}.{tensor.name}", shape=shape, kind=kind))
    yield Topic(op.name, lines + _counts(op, row))
    names = [f"{ecosystem}: {name}" for ecosystem, name in names_of(analysis.graph, op.name).items()]
    yield Topic(_("names elsewhere"), names)


def _counts(op: Op, row: OpRow) -> list[Message]:
    """Params and MACs, written as products."""
    if op.kind == "conv":
        c_out, c_in, k, _k = op.tensors[0].shape
        product, bias = f"{c_out}·{c_in}·{k}·{k}", f" + {c_out}" if op.bias else ""
        places = f"{row.out[0]}·{row.out[1]}"
        return [
            _("params: {terms} = {total:,}", terms=product + bias, total=row.params),
            _(
                "MACs: {weights} weights times {places} places = {total:,}",
                weights=product,
                places=places,
                total=row.macs,
            ),
        ]
    if op.kind == "linear":
        c_out, c_in = op.tensors[0].shape
        return [
            _("params: {terms} = {total:,}", terms=f"{c_out}·{c_in} + {c_out}", total=row.params),
            _("MACs: {terms} = {total:,}", terms=f"{c_out}·{c_in}", total=row.macs),
        ]
    if row.params or row.macs:
        trained = " + ".join(str(prod(t.shape)) for t in op.tensors if t.trained)
        return [_("params: {terms} = {total:,}", terms=trained, total=row.params), _("MACs: {total:,}", total=row.macs)]
    return [_("No parameters, no MACs.")]


def _shapes(analysis: Analysis, op: Op) -> Message:
    """`256x56x56 to 128x56x56`: the input and the output of an op."""
    row, (h, w) = analysis[op.name], shape_before(analysis, op.name)
    before, after = f"{op.c_in}x{h}x{w}", f"{op.c_out}x{row.out[0]}x{row.out[1]}"
    return _("{before} to {after}", before=before, after=after)


def shape_before(analysis: Analysis, name: str) -> tuple[int, int]:
    """Height and width of the input of an op."""
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
    """`res3a_branch2a (Caffe); …`, one entry for the ecosystems that agree."""
    together: dict[str, list[str]] = {}
    for ecosystem, name in names_of(graph, op.name).items():
        together.setdefault(name, []).append(ecosystem)
    return "; ".join(f"{name} ({', '.join(who)})" for name, who in together.items())
