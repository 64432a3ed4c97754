"""The places where two drawings differ, which are highlighted when they are drawn side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest

from plusx.graph import Op
from plusx.svg.drawing import BlockRun, Drawing, Section
from plusx.svg.layout import section_names, section_of


def compared(first: Drawing, second: Drawing) -> list[Drawing]:
    """Both drawings with their marks. Sections are paired by name, block boxes by their order, ops by their local name.

    >>> from plusx.analysis import analyse
    >>> from plusx.svg.drawing import drawing_of
    >>> a, b = compared(drawing_of(analyse("resnet50")), drawing_of(analyse("resnet101")))
    >>> sorted(b.marks)
    ['layer3.1/times']
    """
    return [replace(one, marks=frozenset(_marks(one, other))) for one, other in ((first, second), (second, first))]


def _marks(one: Drawing, other: Drawing) -> Iterator[str]:
    if one.analysis.size_px != other.analysis.size_px:
        yield "input/size"
    if one.analysis.graph.spec.in_channels != other.analysis.graph.spec.in_channels:
        yield "input"
    ours, theirs = one.analysis.graph, other.analysis.graph
    if (ours.c_out, bool(ours.head)) != (theirs.c_out, bool(theirs.head)):
        yield "output"
    for name in section_names([one]):
        section, partner = section_of(one, name), section_of(other, name)
        if section is None:
            continue
        if partner is None:
            yield f"{name}/section"
            continue
        yield from _section(one, section, other, partner)


def _section(one: Drawing, section: Section, other: Drawing, partner: Section) -> Iterator[str]:
    yield from _ops(one, section.ops, other, partner.ops)
    for run, against in zip_longest(section.runs, partner.runs):
        if run is None:
            return
        if against is None:
            yield f"{run.block.name}/block"
        else:
            yield from _run(one, run, other, against)


def _run(one: Drawing, run: BlockRun, other: Drawing, against: BlockRun) -> Iterator[str]:
    name = run.block.name
    if len(run.blocks) != len(against.blocks):
        yield f"{name}/times"
    if run.kind != against.kind and run.kind != "none":
        yield f"{name}/shortcut"
    join, partner = run.block.join, against.block.join
    if join is not None and (partner is None or partner.kind != join.kind):
        yield join.name
    ours, theirs = run.block, against.block
    yield from _ops(one, ours.before + ours.branch, other, theirs.before + theirs.branch)
    yield from _ops(one, ours.shortcut, other, theirs.shortcut)
    yield from _ops(one, ours.after, other, theirs.after)


def _ops(one: Drawing, ops: tuple[Op, ...], other: Drawing, theirs: tuple[Op, ...]) -> Iterator[str]:
    """Ops that differ from the op of the same name, and from every unmatched op (downsample.0 against downsample.1)."""
    reached = {other.sizes[op.name] for op in theirs if op.name in other.sizes}
    yield from (f"{op.name}/size" for op in ops if op.name in one.sizes and one.sizes[op.name] not in reached)
    partners = {op.local_name: _appearance(op) for op in theirs}
    left = [op for op in ops if partners.get(op.local_name) != _appearance(op)]
    named = {op.local_name for op in ops} - {op.local_name for op in left}
    spare = [appearance for name, appearance in partners.items() if name not in named]
    yield from (op.name for op in left if _appearance(op) not in spare)


def _appearance(op: Op) -> Op:
    """All that is written or drawn of an op: without its name, path and tensors."""
    return op._replace(name="", path=None, tensors=())
