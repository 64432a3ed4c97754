"""The geometry of a network as a table, with what to do about a shifted grid; and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plusx.analysis import Analysis
from plusx.analysis.grid import Card, cards, centring_sizes, outgrown
from plusx.text.alignment import aligned, markdown_table
from plusx.text.network_table import Translate, as_is, title, whole_reason
from plusx.text.notation import stage_names

HEADS = ("part", "size", "stride", "dilation", "field", "of input", "centre of cell 0", "grid shift", "sees")


def geometry_table(analysis: Analysis, translate: Translate = as_is, *, markdown: bool = False) -> str:
    """Title, one line a stage, and notes: as text, or as Markdown."""
    found = cards(analysis)
    heads, rows = [translate(head) for head in HEADS], [_cells(card, translate) for card in found]
    right = [head not in ("part", "sees") for head in HEADS]
    lines = markdown_table(heads, rows, right) if markdown else aligned(heads, rows, right)
    head, notes = translate(title(analysis)), [translate(note) for note in geometry_notes(analysis)]
    shown = [f"- {note}" for note in notes] if markdown else notes
    return "\n".join([f"**{head}**" if markdown else head, "", *lines, "", *shown, ""])


def _cells(card: Card, translate: Translate) -> list[str]:
    h, w = card.size
    name = " = ".join(stage_names(card.name)) if card.name != "stem" else card.name
    sees = "global" if card.whole else "more than the input" if card.exceeds else "its field"
    return [
        name, f"{h}x{w}", str(card.stride), str(card.dilation), f"{card.field} px", f"{100 * card.field_share:.0f} %",
        f"{card.start:g} px", _pair(card.shift), translate(sees),
    ]  # fmt: skip


def _pair(shift: Sequence[float]) -> str:
    """`-15.5 px`, or both axes where they differ: `-15.5, 0 px`.

    >>> _pair((-15.5, -15.5)), _pair((0.0, -3.5))
    ('-15.5 px', '0, -3.5 px')
    """
    values = [f"{value:+g}" if value else "0" for value in shift]
    return f"{values[0] if values[0] == values[1] else ', '.join(values)} px"


def geometry_notes(analysis: Analysis) -> list[str]:
    """What the table means for this network at this size."""
    last, (h, w) = cards(analysis)[-1], analysis.size_px
    found: list[str] = []
    if any(last.shift):
        where = _where(last.shift)
        found.append(
            f"the {last.size[0]}x{last.size[1]} cells of {last.name} look at pixels {_pair(last.shift)} from the middle of the image ({where}); "
            "an overlay that spreads them evenly is off by that"
        )
        found += _advice(analysis, last.name, {h, w})
    else:
        found.append(f"the cells of {last.name} lie centred on the image; nothing to correct")
    block = outgrown(analysis)
    if block:
        found.append(f"from {block} on the field is larger than the input: what lies outside is padding")
    if last.whole:
        reason = whole_reason(analysis, last.whole)
        found.append(
            f"global: from {last.whole} on ({reason}) every cell depends on the whole image; field is the local one"
        )
    found.append("centre of cell 0: pixel 0 spans 0 to 1, so its centre is 0.5; grid shift: minus is up and left")
    return found


def _where(shift: Sequence[float]) -> str:
    up, left = shift
    words = [
        word for word, is_so in (("up", up < 0), ("down", up > 0), ("left", left < 0), ("right", left > 0)) if is_so
    ]
    return " and ".join(words)


def _advice(analysis: Analysis, part: str, sides: set[int]) -> list[str]:
    found: list[str] = []
    for side in sorted(sides):
        near = [str(n) for n in dict.fromkeys(centring_sizes(analysis, part, side)) if n is not None]
        if near:
            found.append(
                f"input sides near {side} without a shift: {', '.join(near)}; then every {analysis[part].jump} px"
            )
        else:
            found.append(f"no input side near {side} removes the shift; add it to the cells' positions instead")
    return found


def geometry_record(analysis: Analysis) -> dict[str, Any]:
    """plusx.geometry/1: spec, input (c, h, w), parts (a Card each) and the sides that centre the last one."""
    found, spec = cards(analysis), analysis.graph.spec
    sides = {str(n): list(centring_sizes(analysis, found[-1].name, n)) for n in sorted(set(analysis.size_px))}
    return {
        "schema": "plusx.geometry/1",
        "spec": str(spec),
        "input": [spec.in_channels, *analysis.size_px],
        "parts": [{**card._asdict(), "global": card.whole, "names": _names(card.name)} for card in found],
        "centring_sides": sides,
        "outgrown": outgrown(analysis),
    }


def _names(name: str) -> list[str]:
    return [name] if name == "stem" else list(stage_names(name))
