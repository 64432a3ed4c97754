"""What is wrong with parameters and norms wherever they stand: shared, unregistered, unused; momentum, eps, statistics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

from plusx.checking.blocks import Structure
from plusx.checking.chains import flat, role
from plusx.checking.compare import alignment
from plusx.checking.differences import Deviation, deviation
from plusx.checking.record import ReadModule, ReadOp
from plusx.graph import Graph

TORCH_EPS = 1e-5
HIGHEST_MOMENTUM = 0.5
"""A momentum above it is TensorFlow's 0.9 or 0.99, which torch writes 0.1 or 0.01."""


def weight_deviations(
    read: ReadModule, found: Structure, reported: list[Deviation], graph: Graph
) -> Iterator[Deviation]:
    """Deviations that concern tensors rather than structure. `reported` are those that are known already."""
    marks = {str(value): name for value, name in alignment(found, graph).items()}
    shared = list(_shared(read.ops, found))
    # the stem of Caffe's ResNet-50 is meant to have a bias
    meant = {op.id for op in flat(found.stem)} if graph.spec.stem_bias else set[int]()
    rest = [_unregistered(read.ops), _unused(read, [*reported, *shared]), _norms(read.ops), _biases(read.ops, meant)]
    for each in chain(shared, *rest):
        yield each._replace(mark=marks.get(each.mark, ""))


def _norms(ops: tuple[ReadOp, ...]) -> Iterator[Deviation]:
    for op in ops:
        if role(op) == "norm":
            yield from _norm(op)


def _at(code: str, op: ReadOp, **values: object) -> Deviation:
    """A deviation of one op; its mark is the op's number until the op of the graph is known."""
    return deviation(code, op.place, str(op.id), **values)


def _shared(ops: tuple[ReadOp, ...], found: Structure) -> Iterator[Deviation]:
    """Blocks, convolutions and norms that are used more than once."""
    groups: dict[int, list[ReadOp]] = defaultdict(list)
    inside_gates = {op.id for op in ops} - {op.id for op in found.ops}
    for op in ops:
        if op.identity is not None and op.tensors.get("weight") and op.id not in inside_gates:
            groups[op.identity].append(op)
    shared = [group for group in groups.values() if len(group) > 1]
    of_block = {op.id: number for number, block in enumerate(found.blocks) for op in block.ops}
    repeated: dict[frozenset[int], int] = {}
    for group in shared:
        blocks = frozenset(of_block.get(op.id, -1) for op in group)
        if len(blocks) == len(group) and -1 not in blocks and group[0].kind == "conv":
            repeated[blocks] = len(group)
    for blocks, times in repeated.items():
        names = _names_of(found, blocks, ops)
        for name in names:
            yield deviation("shared_block", name, str(found.blocks[min(blocks)].convs[0].id), times=times)
    inside = set[int]().union(*repeated) if repeated else set[int]()
    for group in shared:
        if {of_block.get(op.id, -1) for op in group} <= inside and inside:
            continue
        keys = sorted({key.rpartition(".")[0] for op in group for key in op.tensors["weight"]})
        kind = "shared_norm" if role(group[0]) == "norm" else "shared_conv"
        if role(group[0]) in ("norm", "conv"):
            values = {"times": len(group)} | ({"names": ", ".join(keys)} if kind == "shared_conv" else {})
            yield _at(kind, group[0], **values)


def _names_of(found: Structure, blocks: frozenset[int], ops: tuple[ReadOp, ...]) -> list[str]:
    """All names under which a block that is used several times is registered."""
    conv = found.blocks[min(blocks)].convs[0]
    place = found.blocks[min(blocks)].place
    keys = conv.tensors.get("weight", [])
    own = next((key for key in keys if key.startswith(f"{place}.")), "")
    rest = own.removeprefix(place)
    names = [key.removesuffix(rest) for key in keys if rest and key.endswith(rest)]
    return names or [place]


def _unregistered(ops: tuple[ReadOp, ...]) -> Iterator[Deviation]:
    for op in ops:
        if op.kind in ("conv", "linear") and op.tensors.get("weight") == []:
            yield _at("made_in_forward" if op.attrs.get("made") else "not_registered", op)


def _unused(read: ReadModule, reported: list[Deviation]) -> Iterator[Deviation]:
    """Modules whose parameters no op reads, but for those whose absence is reported at their block already."""
    explained = [(each.place.partition(" ")[0], each.code) for each in reported if each.code in EXPLAINS]
    left = [module for module, kind in read.unused if not any(_explains(*each, module, kind) for each in explained)]
    if left:
        yield deviation("unused", left[0], "", names=", ".join(left))


def _explains(place: str, code: str, module: str, kind: str) -> bool:
    """Whether a deviation at `place` says already that `module` is not called."""
    if code in NORM_CODES and "Norm" not in kind:
        return False
    if code == "final_norm":
        return "." not in module or module.partition(".")[0] not in place
    if code == "plain_named":
        return "shortcut" in module or "downsample" in module
    block = place if code in WHOLE_BLOCK else place.rpartition(".")[0]
    return not block or module == block or module.startswith(f"{block}.")


NORM_CODES = ("missing_norm", "shortcut_norm", "final_norm", "shared_norm")
WHOLE_BLOCK = ("branch_length", "no_shortcut", "shortcut_kind", "plain_named")
EXPLAINS = (*NORM_CODES, *WHOLE_BLOCK, "missing_gate")
"""Deviations after which a module of the same block is naturally unused."""


def _norm(op: ReadOp) -> Iterator[Deviation]:
    attrs = op.attrs
    if op.kind == "batch_norm":
        registered = op.tensors.get("weight") != [] or op.tensors.get("running_mean") != []
        if attrs["training"] and registered:  # eval() does not reach a module that is not registered
            yield _at("batch_statistics", op)
        momentum = attrs["momentum"]
        if momentum is not None and momentum > HIGHEST_MOMENTUM:
            instead = round(1 - momentum, 6)
            yield _at("momentum", op, found=momentum, tf=instead, instead=instead or 0.1)
    if not attrs["affine"]:
        yield _at("no_affine", op)
    eps = attrs.get("eps")
    if eps is not None and abs(eps - TORCH_EPS) > TORCH_EPS / 100 and op.kind == "batch_norm":
        yield _at("eps", op, found=eps)


def _biases(ops: tuple[ReadOp, ...], meant: set[int]) -> Iterator[Deviation]:
    """Convolutions with a bias that the batch norm behind them subtracts again."""
    after = {value: op for op in ops for value in op.inputs}
    for op in ops:
        follower = after.get(op.id)
        if (
            op.id not in meant
            and op.kind == "conv"
            and op.attrs["bias"]
            and follower is not None
            and follower.kind == "batch_norm"
        ):
            yield _at("bias_before_norm", op)
