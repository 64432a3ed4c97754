"""Where a run of ops or a convolution differs from the graph's: codes with values, without words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from plusx.checking.chains import role
from plusx.checking.record import ReadOp
from plusx.graph import Op
from plusx.graph.kinds import KINDS

ROLES = {"conv": "conv", "norm": "norm", "activation": "act", "drop": "dropout", "gate": "gate", "pool": "pool"}


class Deviation(NamedTuple):
    """One deviating place: its code (`findings.TEXTS`), the user's own name, the op or block of the graph, and values."""

    code: str
    place: str
    mark: str
    values: tuple[tuple[str, Any], ...] = ()


def deviation(code: str, place: str, mark: str, **values: Any) -> Deviation:
    return Deviation(code, place, mark, tuple(values.items()))


def gaps_of(ops: Sequence[Any]) -> list[list[Any]]:
    """What stands before, between and behind the convolutions."""
    found: list[list[Any]] = [[]]
    for op in ops:
        if op.kind == "conv":
            found.append([])
        elif op.kind == "cbam_spatial" and found[-1] and found[-1][-1].kind == "cbam":
            pass  # the second half of the gate
        elif op.kind not in ("reshape", "doubled"):
            found[-1].append(op)
    return found


def gap_deviations(
    gap: list[ReadOp],
    expected: list[Op],
    conv: ReadOp | None,
    mark: str,
    *,
    place: str = "",
    end: bool = False,
    after: bool = False,
) -> Iterator[Deviation]:
    """Light ops at one place beside those that are expected there."""
    wanted = [ROLES[KINDS[op.kind].role] for op in expected]
    place = place or (conv.place if conv is not None else "")
    ignored = [op for op in gap if role(op) == "dropout" and op.attrs.get("training")]
    for op in ignored:
        yield deviation("dropout_always", op.place, mark)
    gap = [op for op in gap if op not in ignored and not (role(op) == "dropout" and not op.attrs.get("rate"))]
    have = [role(op) for op in gap]
    pairs = list(zip(gap, expected, strict=False)) if have == wanted else []
    if have != wanted:
        if sorted(have) == sorted(wanted):
            yield deviation(
                "order",
                place,
                mark,
                found=" → ".join(op.kind for op in gap),
                expected=" → ".join(op.kind for op in expected),
            )
            return
        left = list(expected)
        for op in gap:
            match = next((each for each in left if ROLES[KINDS[each.kind].role] == role(op)), None)
            if match is None:
                yield _extra(op, mark, after=after, end=end)
            else:
                pairs.append((op, match))
                left.remove(match)
        for op in left:
            kind = ROLES[KINDS[op.kind].role]
            if kind == "act":
                yield deviation("no_relu_after_add" if after else "missing_act", place, mark, act=op.kind)
            elif kind == "norm":
                yield deviation("missing_norm", place, mark, norm=op.kind)
            elif kind == "gate":
                yield deviation("missing_gate", place, mark, gate=op.kind)
            elif kind == "dropout":
                yield deviation("missing_dropout", place, mark, rate=op.rate)
    for op, ours in pairs:
        yield from same_role(op, ours, mark)


def _extra(op: ReadOp, mark: str, *, after: bool, end: bool) -> Deviation:
    kind = role(op)
    if kind == "act":
        if after:
            return deviation("act_after_join", op.place, mark, act=op.kind)
        return deviation("act_at_end" if end else "extra_act", op.place, mark, act=op.kind)
    if kind == "norm":
        return deviation("norm_after_join" if after else "extra_norm", op.place, mark, norm=op.kind)
    if kind == "dropout":
        return deviation("dropout_place", op.place, mark, rate=op.attrs.get("rate"))
    if kind == "gate":
        return deviation("gate_after_join" if after else "extra_gate", op.place, mark, gate=op.kind)
    if kind in ("scale", "shift"):
        return deviation("scaled_branch", op.place, mark, by=op.attrs.get("by"))
    return deviation("extra_op", op.place, mark, op=op.kind)


def same_role(op: ReadOp, ours: Op, mark: str) -> Iterator[Deviation]:
    """An op of the right role: whether it is of the right kind, and has usual numbers."""
    kind = role(op)
    name = mark if mark.endswith(("/block", "/section", ".add")) else ours.name
    if kind in ("act", "norm", "gate") and op.kind != ours.kind:
        yield deviation(f"{kind}_kind", op.place, name, found=op.kind, expected=ours.kind)
    elif kind == "norm" and op.kind == "group_norm" and op.attrs["groups"] != ours.groups:
        yield deviation("norm_groups", op.place, name, found=op.attrs["groups"], expected=ours.groups)
    elif kind == "gate" and op.attrs.get("squeezed") and op.attrs["squeezed"] != ours.gate.squeezed:
        yield deviation("gate_width", op.place, name, found=op.attrs["squeezed"], expected=ours.gate.squeezed)


def conv_deviations(conv: ReadOp, op: Op, where: str = "branch") -> Iterator[Deviation]:
    """The numbers of a convolution, the most telling difference first."""
    have = conv.attrs
    if have["kernel"] != op.kernel:
        code = "shortcut_kernel" if where == "shortcut" else "kernel"
        yield deviation(code, conv.place, op.name, found=have["kernel"], expected=op.kernel)
        if have["stride"] != op.stride:
            yield deviation("stride", conv.place, op.name, found=have["stride"], expected=op.stride)
        return
    if have["c_in"] != op.c_in or have["c_out"] != op.c_out:
        yield deviation(
            "channels",
            conv.place,
            op.name,
            found=f"{have['c_in']} → {have['c_out']}",
            expected=f"{op.c_in} → {op.c_out}",
        )
    for name in ("stride", "dilation", "groups"):
        if have[name] != getattr(op, name):
            yield deviation(name, conv.place, op.name, found=have[name], expected=getattr(op, name))
    kept = have["dilation"] == op.dilation or have["padding"] != have["dilation"] * (op.kernel - 1) // 2
    if have["padding"] != op.padding and kept:
        yield deviation("padding", conv.place, op.name, found=have["padding"], expected=op.padding, kernel=op.kernel)
