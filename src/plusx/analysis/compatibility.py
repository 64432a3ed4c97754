"""Whether the weights of one network fit another: by shape, and by meaning."""

from __future__ import annotations

from typing import NamedTuple

from plusx.graph import Graph, Op
from plusx.graph.kinds import DROPS, FIXED_NORMS
from plusx.specs import KEYS, stage_geometry

Computed = list[tuple[str, Op]]

DILATION_KEYS = {"output_stride", "strides", "dilations", "dilate", "multi_grid"}
SILENT_KEYS = {"drop_path", "block_dropout", "head_dropout", "zero_init"}
"""Fields that change only training or initialisation, and not what given weights compute."""


class Compatibility(NamedTuple):
    """How the state dict of one network fits another.

    verdict: `equal` one network; `meaning` every tensor fits and computes the same in eval mode; `shape` every tensor fits
    but would compute something else; `part` some fit; `none` not one does. `needed` tensors the second has, `found` of them
    in the first with the same name and shape, `left` of the first that the second has no place for (the tail of a cut).
    `odd` names ops that differ or are skipped. `why` meaning holds: `same` network, `dilated` exactly, `cut`
    (the second ends earlier), `tail` (it adds ops without weights at the end), `eval` (they differ in training alone).
    `num_batches_tracked` is not counted: files lack it and nothing reads it in eval mode.
    """

    verdict: str
    needed: int
    found: int
    left: int
    misshapen: tuple[str, ...]
    odd: tuple[str, ...]
    why: str


def compatibility(before: Graph, after: Graph) -> Compatibility:
    """How weights of `before` fit `after`."""
    has, needs = _tensors(before), _tensors(after)
    found = [key for key, shape in needs.items() if has.get(key) == shape]
    misshapen = tuple(key for key, shape in needs.items() if key in has and has[key] != shape)
    left = sum(key not in needs for key in has)
    if len(found) < len(needs):
        verdict, odd, why = ("part" if found else "none"), (), ""
    else:
        verdict, odd, why = _meaning(before, after)
    return Compatibility(verdict, len(needs), len(found), left, misshapen, odd, why)


def _tensors(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {key: tensor.shape for key, tensor in graph.tensors() if tensor.name.split(".")[-1] != "num_batches_tracked"}


def _meaning(a: Graph, b: Graph) -> tuple[str, tuple[str, ...], str]:
    if a.spec == b.spec:
        return "equal", (), "same"
    if _exactly_dilated(a, b):
        return "meaning", (), "dilated"
    theirs, ours = _computed(a), _computed(b)
    if theirs == ours:
        return "meaning", (), "eval"
    if theirs[: len(ours)] == ours:
        return "meaning", (), "cut"
    if ours[: len(theirs)] == theirs:
        return "meaning", (), "tail"
    return "shape", _odd(theirs, ours), ""


def _odd(theirs: Computed, ours: Computed) -> tuple[str, ...]:
    """Ops of the second network that differ, then ops of the first that the second skips."""
    known, names = dict(theirs), {name for name, _ in ours}
    shared = [name for name, _ in theirs if name in names]
    before_end = [name for name, _ in theirs]
    skipped = [name for name in before_end[: before_end.index(shared[-1])] if name not in names] if shared else []
    return (*(name for name, op in ours if known.get(name) != op), *skipped) or ("order",)


def _computed(graph: Graph) -> Computed:
    """The ops that run in eval mode, in order, without what cannot change their result."""
    found: Computed = []
    for op in graph.ops:
        if op.kind in DROPS:  # they run in training only
            continue
        gate = op.gate._replace(norm=_in_eval(op.gate.norm))
        found.append((op.name, op._replace(kind=_in_eval(op.kind), tensors=(), rate=0.0, gate=gate)))
    return found


def _in_eval(kind: str) -> str:
    """Norms with fixed statistics compute the same in eval mode."""
    return FIXED_NORMS[0] if kind in FIXED_NORMS else kind


def _exactly_dilated(a: Graph, b: Graph) -> bool:
    """Whether the two differ only in strides that became dilations exactly (`dilate=exact`)."""
    fields = KEYS
    differing = {name for name in fields if getattr(a.spec, name) != getattr(b.spec, name)} - SILENT_KEYS
    return differing <= DILATION_KEYS and bool(differing) and _exact(a) and _exact(b) and _steps(a) == _steps(b)


def _exact(graph: Graph) -> bool:
    spec = graph.spec
    return spec.dilate == "exact" and spec.padding == "same" and not spec.norm.startswith("group")


def _steps(graph: Graph) -> list[int]:
    """Pixels between the cells that one 3x3 of each stage reads: what exact dilation keeps."""
    reached = 1
    found: list[int] = []
    for stride, rate in stage_geometry(graph.spec):
        reached *= stride
        found.append(reached * rate)
    return found
