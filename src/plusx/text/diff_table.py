"""A diff as text, Markdown and data: what moved, what it costs, whether the weights still fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

from plusx.analysis.diff import Change, Delta, Diff, OpChange
from plusx.analysis.fit import Fit
from plusx.graph import Op
from plusx.specs import SPEC
from plusx.text.alignment import aligned, markdown_table
from plusx.text.network_table import Translate, as_is
from plusx.text.notation import op_text, short_text

LETTERS = {
    "c_out": "c", "c_in": "c_in ", "kernel": "k", "stride": "s", "padding": "p", "dilation": "d", "groups": "g", "gate.step": "d",
}  # fmt: skip
HEADS = ("part", "out", "stride", "field", "params", "MACs")
FIGURES = {
    "params": "params",
    "macs": "MACs",
    "field": "field of the last map, px",
    "activation_bytes": "activations, bytes an image (float32)",
    "state_bytes": "state dict, bytes (float32)",
    "depth": "depth",
}


def diff_table(found: Diff, translate: Translate = as_is, *, markdown: bool = False) -> str:
    """The whole comparison. Two equal networks give one line."""
    a, b, (h, w) = found.before.graph.spec, found.after.graph.spec, found.before.size_px
    title = translate(f"from {a} to {b}, input {h}x{w}")
    if not found:
        return translate(f"no difference: both are {a}") + "\n"
    tables = [_fields(found, translate), _parts(found, translate), _figures(found, translate)]
    draw = markdown_table if markdown else aligned
    fields, parts, figures = ("\n".join(draw(heads, rows, right)) for heads, rows, right in tables)
    moved = "\n".join(f"- {line}" if markdown else f"  {line}" for line in moved_lines(found, translate))
    weights = translate(weights_text(found.weights))
    head = f"**{title}**" if markdown else title
    return (
        "\n\n".join(
            [head, fields, translate("what moved") + ("\n" if markdown else "") + "\n" + moved, parts, figures, weights]
        )
        + "\n"
    )


Table = tuple[list[str], list[list[str]], list[bool]]


def _fields(found: Diff, translate: Translate) -> Table:
    rows = [[key, *(SPEC.show(key, value) or "-" for value in (x, y))] for key, x, y in found.fields]
    return [translate("key"), translate("before"), translate("after")], rows, [False] * 3


def _parts(found: Diff, translate: Translate) -> Table:
    rows = [_part(delta) for delta in found.parts]
    return [translate(head) for head in HEADS], rows, [False, False, True, True, True, True]


def _part(delta: Delta) -> list[str]:
    a, b = delta.before, delta.after
    if a is None or b is None:
        row = a or b
        sign = "-" if b is None else "+"
        out = f"{row.channels}x{row.out[0]}x{row.out[1]}" if row else ""
        return [f"{sign} {delta.name}", out, str(row.jump) if row else "", "", signed(delta.params), signed(delta.macs)]
    out = [f"{row.channels}x{row.out[0]}x{row.out[1]}" for row in (a, b)]
    pairs = (out, [str(a.jump), str(b.jump)], [str(a.rf), str(b.rf)])
    return [delta.name, *(_arrow(x, y) for x, y in pairs), signed(delta.params), signed(delta.macs)]


def _arrow(x: str, y: str) -> str:
    return x if x == y else f"{x} → {y}"


def signed(value: int) -> str:
    """`+1,234`, `-5`, and `=` for no change."""
    return f"{value:+,}" if value else "="


def _figures(found: Diff, translate: Translate) -> Table:
    rows: list[list[str]] = []
    for name, (x, y) in found.figures.items():
        change = f"{signed(y - x)} ({100 * (y - x) / x:+.2f} %)" if y != x and x else signed(y - x)
        rows.append([translate(FIGURES[name]), f"{x:,}", f"{y:,}", change])
    return (
        [translate("figure"), translate("before"), translate("after"), translate("change")],
        rows,
        [False, True, True, True],
    )


def moved_lines(found: Diff, translate: Translate = as_is) -> list[str]:
    """One line for each set of changes, with all the places where it happened.

    >>> from plusx.analysis.diff import diff
    >>> moved_lines(diff("resnet50 stride_in=1x1", "resnet50"))
    ['layer2.0, layer3.0, layer4.0: conv1 s2 → s1; conv2 s1 → s2']
    """
    together: dict[str, list[str]] = {}
    for change in found.changes:
        together.setdefault(_describe(change, translate), []).append(change.place)
    lines = [f"{_places(places)}: {text}" for text, places in together.items()]
    return lines or [translate("no op; the networks differ in training or initialisation alone")]


def _describe(change: Change, translate: Translate) -> str:
    if change.kind != "changed":
        return translate({"added": "added", "removed": "removed", "order": "same ops in another order"}[change.kind])
    joins = [op for op in change.ops if op.op == "join"]
    plain = [bool(joins) and not joins[0].before, bool(joins) and not joins[0].after]
    texts = [_shortcut(op, plain, translate) if op.op == "shortcut" and not op.what else _op(op) for op in change.ops]
    return "; ".join(texts)


def _shortcut(change: OpChange, plain: Sequence[bool], translate: Translate) -> str:
    sides: list[str] = []
    for ops, is_plain in zip((change.before, change.after), plain, strict=True):
        text = ", ".join(filter(None, map(short_text, ops))) or "x"
        sides.append(translate("none") if is_plain else text)
    if sides[0] == sides[1]:  # the same computation under other keys, or with another norm
        sides = [
            ", ".join(f"{op.local_name} ({op_text(op).split(',')[0]})" for op in ops)
            for ops in (change.before, change.after)
        ]
    return f"{translate('shortcut')} {sides[0]} → {sides[1]}"


def _op(change: OpChange) -> str:
    if change.what:
        return f"{change.op} " + ", ".join(
            _attribute(*each) for each in change.what if each[0] != "c_in" or len(change.what) == 1
        )
    shared = sum(
        1
        for _ in takewhile(lambda pair: pair[0] == pair[1], zip(change.before[::-1], change.after[::-1], strict=False))
    )
    runs = [ops[: len(ops) - shared] for ops in (change.before, change.after)]
    before, after = ("; ".join(_texts(ops)) for ops in runs)
    if not change.before or not change.after:
        return f"{'+' if change.after else '-'} {change.op} ({before or after})"
    return f"{before} → {after}" if change.op == "stem" else f"{change.op} {before} → {after}"


def _attribute(name: str, x: Any, y: Any) -> str:
    letter = LETTERS.get(name, f"{name.removeprefix('gate.')} ")
    if isinstance(x, bool):
        return f"{'+' if y else '-'} {letter.strip()}"
    if name == "kernel":
        return f"{x}x{x} → {y}x{y}"
    return f"{letter}{x:g} → {letter.strip() if len(letter) == 1 else ''}{y:g}"


def _texts(ops: Sequence[Op]) -> list[str]:
    """A run of ops in short: convolutions and pools of a stem; one op alone without its channels, so that stages agree."""
    if len(ops) == 1:
        return [op_text(ops[0]).split(", c")[0]]
    return [short_text(op) or op_text(op) for op in ops if op.kind in ("conv", "max_pool")]


def _places(places: Sequence[str]) -> str:
    """`layer1.0, layer2.1-3`: neighbours in a stage together.

    >>> _places(["layer1.0", "layer2.1", "layer2.2", "layer2.3", "head"])
    'layer1.0, layer2.1-3, head'
    """
    return ", ".join(first if first == last else f"{first}-{last.rpartition('.')[2]}" for first, last in _runs(places))


def _runs(places: Sequence[str]) -> Iterator[tuple[str, str]]:
    first = last = places[0]
    for place in places[1:]:
        stage, _, number = last.rpartition(".")
        if stage and place == f"{stage}.{int(number) + 1}":
            last = place
            continue
        yield first, last
        first = last = place
    yield first, last


def weights_text(fit: Fit) -> str:
    """Whether weights of the first fit the second, in a sentence."""
    if fit.verdict == "equal":
        return "weights: fit, the networks are the same"
    if fit.verdict == "meaning":
        return {
            "same": "weights: fit, the networks are the same",
            "dilated": "weights: fit by shape and by meaning: the maps agree where both have cells (exact dilation, eval mode); "
            "pooled features and logits average over other cells",
            "cut": f"weights: fit by shape and by meaning; {fit.left} tensors behind the cut are left over",
            "tail": "weights: fit by shape and by meaning; what is added has no weights",
            "eval": "weights: fit by shape and by meaning: in eval mode both compute the same",
        }[fit.why]
    if fit.verdict == "shape":
        left = f"; {fit.left} tensors have no place there" if fit.left else ""
        return f"weights: fit by shape but NOT by meaning: they would compute something else in {_some(fit.odd)}{left}"
    if fit.verdict == "none":
        return f"weights: do not fit, none of {fit.needed} tensors is found with its shape"
    shapes = f"; other shapes: {_some(fit.misshapen)}" if fit.misshapen else ""
    return f"weights: fit in part, {fit.found} of {fit.needed} tensors have the same name and shape{shapes}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def diff_record(found: Diff) -> dict[str, Any]:
    """plusx.diff/1: specs, fields, what moved, parts, figures, weights."""
    fit = found.weights
    return {
        "schema": "plusx.diff/1",
        "before": str(found.before.graph.spec),
        "after": str(found.after.graph.spec),
        "input": list(found.before.size_px),
        "equal": not found,
        "fields": [{"key": key, "before": x, "after": y} for key, x, y in found.fields],
        "changes": [{"place": c.place, "kind": c.kind, "text": _describe(c, as_is)} for c in found.changes],
        "parts": [
            {
                "name": d.name, "params": d.params, "macs": d.macs,
                "rf": [row.rf if row else None for row in (d.before, d.after)],
                "jump": [row.jump if row else None for row in (d.before, d.after)],
                "out": [[row.channels, *row.out] if row else None for row in (d.before, d.after)],
            }
            for d in found.parts
        ],
        "figures": {name: {"before": x, "after": y, "change": y - x} for name, (x, y) in found.figures.items()},
        "weights": {**fit._asdict(), "text": weights_text(fit)},
    }  # fmt: skip
