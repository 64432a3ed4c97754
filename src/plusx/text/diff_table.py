"""A diff as text, Markdown and data: what changed, what it costs, whether the weights still fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import takewhile
from typing import Any, NamedTuple

from plusx import settings
from plusx.analysis.compatibility import Compatibility
from plusx.analysis.diff import Change, Delta, Diff, OpChange
from plusx.graph import Op
from plusx.i18n import Message, _, _n, translator
from plusx.specs import SPEC
from plusx.text.alignment import Translate, fitted, hidden_note, html_table, markdown_table, paragraph
from plusx.text.notation import op_text, short_text

LETTERS = {
    "c_out": "c", "c_in": "c_in ", "kernel": "k", "stride": "s", "padding": "p", "dilation": "d", "groups": "g", "gate.step": "d",
}  # fmt: skip
FIGURES = {
    "params": _("params"),
    "macs": _("MACs"),
    "field": _("rf of the last map, px"),
    "activation_bytes": _("activations of one image, bytes (float32)"),
    "state_bytes": _("state dict, bytes (float32)"),
    "depth": _("depth"),
}


class Table(NamedTuple):
    """One of the tables of a comparison; `drop` and `wrap` are columns that give way on a narrow terminal."""

    heads: Sequence[Message]
    rows: Sequence[Sequence[str]]
    right: Sequence[bool]
    drop: Sequence[int] = ()
    wrap: Sequence[int] = ()

    def text(self, width: int | None, translate: Translate) -> str:
        heads = [translate(head) for head in self.heads]
        lines, hidden = fitted(heads, self.rows, self.right, width, drop=self.drop, wrap=self.wrap)
        notes = [translate(note) for note in hidden_note(self.heads, hidden)]
        return "\n".join(lines + [line for note in notes for line in paragraph(note, width, "  ", "")])

    def markdown(self, translate: Translate) -> str:
        return "\n".join(markdown_table([translate(head) for head in self.heads], self.rows, self.right))

    def html(self, translate: Translate) -> str:
        return html_table([translate(head) for head in self.heads], self.rows, self.right)


def diff_table(found: Diff, translate: Translate = str, *, markdown: bool = False, width: int | None = None) -> str:
    """The whole comparison. Two equal networks give one line."""
    if not found:
        return "\n".join(paragraph(translate(_title(found)), width, "  ", "")) + "\n"
    tables = [_fields(found), _parts(found), _figures(found, translate)]
    fields, parts, figures = (each.markdown(translate) if markdown else each.text(width, translate) for each in tables)
    title, heading = translate(_title(found)), translate(_("changes"))
    moved, weights = changed_lines(found, translate), translate(weights_text(found.weights))
    if markdown:
        pieces = [
            f"**{title}**",
            fields,
            heading + "\n\n" + "\n".join(f"- {line}" for line in moved),
            parts,
            figures,
            weights,
        ]
    else:
        head, end = ("\n".join(paragraph(text, width, "  ", "")) for text in (title, weights))
        shown = [line for text in moved for line in paragraph(text, width, "    ", "  ")]
        pieces = [head, fields, "\n".join([heading, *shown]), parts, figures, end]
    return "\n\n".join(pieces) + "\n"


def diff_html(found: Diff, translate: Translate | None = None) -> str:
    """The comparison as HTML, which a notebook shows for a Diff; in the language of PLUSX_LANG unless told."""
    translate = translate or translator(settings.language())
    title = f"<b>{escape(translate(_title(found)))}</b>"
    if not found:
        return f"<div>{title}</div>"
    tables = [_fields(found), _parts(found), _figures(found, translate)]
    fields, parts, figures = (each.html(translate) for each in tables)
    moved = "<br>".join(escape(line) for line in changed_lines(found, translate))
    weights = escape(translate(weights_text(found.weights)))
    return f"<div>{title}{fields}<p>{moved}</p>{parts}{figures}<p>{weights}</p></div>"


def _title(found: Diff) -> Message:
    a, b, (h, w) = found.before.graph.spec, found.after.graph.spec, found.before.size_px
    if not found:
        return _("No difference: both are {spec}.", spec=str(a))
    return _("from {before} to {after}, input {h}x{w}", before=str(a), after=str(b), h=h, w=w)


def _fields(found: Diff) -> Table:
    rows = [[key, *(SPEC.show(key, value) or "-" for value in (x, y))] for key, x, y in found.fields]
    heads = (_("key"), _("before"), _("after"))
    return Table(heads, rows, [False] * 3, wrap=(1, 2))


def _parts(found: Diff) -> Table:
    heads = (_("part"), _("out"), _("stride"), _("rf"), _("params"), _("MACs"))
    rows = [_part(delta) for delta in found.parts]
    return Table(heads, rows, [False, False, True, True, True, True], drop=(2, 3, 1))


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
    heads = (_("figure"), _("before"), _("after"), _("change"))
    return Table(heads, rows, [False, True, True, True], wrap=(0, 3))


def changed_lines(found: Diff, translate: Translate = str) -> list[str]:
    """One line for each set of changes, with all the places where it occurs.

    >>> from plusx.analysis.diff import diff
    >>> changed_lines(diff("resnet50 stride_in=1x1", "resnet50"))
    ['layer2.0, layer3.0, layer4.0: conv1 s2 → s1; conv2 s1 → s2']
    """
    together: dict[str, list[str]] = {}
    for change in found.changes:
        together.setdefault(_describe(change, translate), []).append(change.place)
    lines = [f"{_places(places)}: {text}" for text, places in together.items()]
    return lines or [translate(_("No op changes: the networks differ only in training or initialisation."))]


def _describe(change: Change, translate: Translate) -> str:
    if change.kind != "changed":
        texts = {"added": _("added"), "removed": _("removed"), "order": _("the same ops in another order")}
        return translate(texts[change.kind])
    joins = [op for op in change.ops if op.op == "join"]
    plain = [bool(joins) and not joins[0].before, bool(joins) and not joins[0].after]
    texts = [_shortcut(op, plain, translate) if op.op == "shortcut" and not op.what else _op(op) for op in change.ops]
    return "; ".join(texts)


def _shortcut(change: OpChange, plain: Sequence[bool], translate: Translate) -> str:
    sides: list[str] = []
    for ops, is_plain in zip((change.before, change.after), plain, strict=True):
        text = ", ".join(filter(None, map(short_text, ops))) or "x"
        sides.append(translate(_("none")) if is_plain else text)
    if sides[0] == sides[1]:  # the same computation under other keys, or with another norm
        sides = [
            ", ".join(f"{op.local_name} ({op_text(op).split(',')[0]})" for op in ops)
            for ops in (change.before, change.after)
        ]
    return translate(_("shortcut {before} → {after}", before=sides[0], after=sides[1]))


def _op(change: OpChange) -> str:
    if change.what:
        return f"{change.op} " + ", ".join(
            _attribute(*each) for each in change.what if each[0] != "c_in" or len(change.what) == 1
        )
    shared = sum(
        1
        for _pair in takewhile(
            lambda pair: pair[0] == pair[1], zip(change.before[::-1], change.after[::-1], strict=False)
        )
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


def weights_text(found: Compatibility) -> Message:
    """Whether weights of the first network fit the second, in a sentence or two."""
    if found.verdict in ("equal", "meaning"):
        return _fitting(found)
    if found.verdict == "shape":
        values: dict[str, Any] = {"ops": _some(found.odd), "left": found.left}
        if found.left:
            return _(
                "Weights fit by shape but not by meaning: the network would compute something else in {ops}. {left} tensors have "
                "no place in it.",
                **values,
            )
        return _(
            "Weights fit by shape but not by meaning: the network would compute something else in {ops}.", **values
        )
    values = {"needed": found.needed, "found": found.found}
    if found.verdict == "none":
        return _("Weights do not fit: none of {needed} tensors is found with its shape.", **values)
    if found.misshapen:
        names = _some(found.misshapen)
        return _(
            "Weights fit in part: {found} of {needed} tensors have the same name and shape. Other shapes: {names}.",
            names=names, **values,
        )  # fmt: skip
    return _("Weights fit in part: {found} of {needed} tensors have the same name and shape.", **values)


def _fitting(found: Compatibility) -> Message:
    """The sentence for weights that keep their meaning, by the reason why they do."""
    return {
        "same": _("Weights fit: the networks are the same."),
        "dilated": _(
            "Weights fit by shape and by meaning: the maps agree where both have cells (exact dilation, eval mode). Pooled "
            "features and logits average over other cells."
        ),
        "cut": _n(
            "Weights fit by shape and by meaning. {n} tensor behind the cut is not used.",
            "Weights fit by shape and by meaning. {n} tensors behind the cut are not used.",
            found.left,
        ),
        "tail": _("Weights fit by shape and by meaning: what is added has no weights."),
        "eval": _("Weights fit by shape and by meaning: both networks compute the same in eval mode."),
    }[found.why]


def _some(names: Sequence[str]) -> Message | str:
    shown = ", ".join(names[:4])
    return _("{names} and {n} more", names=shown, n=len(names) - 4) if len(names) > 4 else shown


def diff_record(found: Diff) -> dict[str, Any]:
    """plusx.diff/1: specs, fields, changes, parts, figures, weights."""
    weights = found.weights
    return {
        "schema": "plusx.diff/1",
        "before": str(found.before.graph.spec),
        "after": str(found.after.graph.spec),
        "input": list(found.before.size_px),
        "equal": not found,
        "fields": [{"key": key, "before": x, "after": y} for key, x, y in found.fields],
        "changes": [{"place": c.place, "kind": c.kind, "text": _describe(c, str)} for c in found.changes],
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
        "weights": {**weights._asdict(), "text": weights_text(weights)},
    }  # fmt: skip
