"""Where stem and head differ from the graph's."""

from __future__ import annotations

from collections.abc import Iterator

from plusx.checking.blocks import Structure
from plusx.checking.chains import Region, flat, role
from plusx.checking.differences import Deviation, conv_deviations, deviation, gap_deviations, gaps_of
from plusx.checking.record import ReadOp
from plusx.graph import Graph, Op


def stem_deviations(found: Structure, graph: Graph) -> Iterator[Deviation]:
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
        yield from conv_deviations(conv, op)
    order, wanted = [op for op in mine if role(op) != "pool"], [op for op in graph.stem if op.kind != "max_pool"]
    for number, (gap, other) in enumerate(zip(gaps_of(order), gaps_of(wanted), strict=True)):
        yield from gap_deviations(gap, other, convs[max(number - 1, 0)], expected[max(number - 1, 0)].name)
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


def head_deviations(found: Structure, graph: Graph) -> Iterator[Deviation]:
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
