"""The geometry of a network as a table, with what to do about a shifted grid; and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plusx.analysis import Analysis
from plusx.analysis.grid import PartGeometry, centring_sizes, outgrown, part_geometries
from plusx.i18n import Message, _
from plusx.text.alignment import Translate, fitted, hidden_note, markdown_table, paragraph
from plusx.text.network_table import title, whole_reason
from plusx.text.notation import stage_names

HEADS = (
    _("part"), _("size"), _("stride"), _("dilation"), _("rf"), _("of input"), _("centre of cell 0"), _("grid shift"),
    _("depends on"),
)  # fmt: skip
RIGHT = (False, *(True,) * 7, False)
DROPPED = (6, 5, 3, 8)
"""Columns that a narrow terminal goes without, in this order: centre of cell 0, of input, dilation, depends on."""
WRAPPED = (0, 8)


def geometry_table(
    analysis: Analysis, translate: Translate = str, *, markdown: bool = False, width: int | None = None
) -> str:
    """Title, one line a stage, and notes: as text, or as Markdown."""
    heads, rows = [translate(head) for head in HEADS], [_cells(part, translate) for part in part_geometries(analysis)]
    head, notes = translate(title(analysis)), geometry_notes(analysis)
    if markdown:
        lines, shown = markdown_table(heads, rows, RIGHT), [f"- {translate(note)}" for note in notes]
        return "\n".join([f"**{head}**", "", *lines, "", *shown, ""])
    lines, hidden = fitted(heads, rows, RIGHT, width, drop=DROPPED, wrap=WRAPPED)
    notes += hidden_note(HEADS, hidden)
    shown = [line for note in notes for line in paragraph(translate(note), width, "  ", "")]
    return "\n".join([*paragraph(head, width, "  ", ""), "", *lines, "", *shown, ""])


def _cells(part: PartGeometry, translate: Translate) -> list[str]:
    h, w = part.size
    name = " = ".join(stage_names(part.name)) if part.name != "stem" else part.name
    inside = _("more than the input") if part.exceeds else _("its receptive field")
    return [
        name, f"{h}x{w}", str(part.stride), str(part.dilation), f"{part.field} px", f"{100 * part.field_share:.0f} %",
        f"{part.start:g} px", _pair(part.shift), translate(_("the whole image") if part.whole else inside),
    ]  # fmt: skip


def _pair(shift: Sequence[float]) -> str:
    """`-15.5 px`, or both axes where they differ: `-15.5, 0 px`.

    >>> _pair((-15.5, -15.5)), _pair((0.0, -3.5))
    ('-15.5 px', '0, -3.5 px')
    """
    values = [f"{value:+g}" if value else "0" for value in shift]
    return f"{values[0] if values[0] == values[1] else ', '.join(values)} px"


def geometry_notes(analysis: Analysis) -> list[Message]:
    """What the table means for this network at this size."""
    last, (h, w) = part_geometries(analysis)[-1], analysis.size_px
    found: list[Message] = []
    if any(last.shift):
        found.append(
            _(
                "The {h}x{w} cells of {part} are centred {shift} from the middle of the image ({direction}). An overlay that "
                "spreads them evenly is off by that much.",
                h=last.size[0], w=last.size[1], part=last.name, shift=_pair(last.shift), direction=_direction(last.shift),
            )
        )  # fmt: skip
        found += _advice(analysis, last.name, {h, w})
    else:
        found.append(_("The cells of {part} are centred on the image: nothing has to be corrected.", part=last.name))
    block = outgrown(analysis)
    if block:
        found.append(
            _(
                "From {block} on the receptive field is larger than the input: what lies outside is padding.",
                block=block,
            )
        )
    if last.whole:
        found.append(
            _(
                "From {op} on ({reason}) every cell depends on the whole image; rf is the local receptive field.",
                op=last.whole, reason=whole_reason(analysis, last.whole),
            )
        )  # fmt: skip
    found.append(_("Pixel 0 spans 0 to 1, so its centre is 0.5. A negative grid shift points up and left."))
    return found


def _direction(shift: Sequence[float]) -> Message:
    """Where a shift (down, right) points to."""
    up, left = shift
    directions = {
        (-1, -1): _("up and left"), (-1, 0): _("up"), (-1, 1): _("up and right"), (0, -1): _("left"), (0, 1): _("right"),
        (1, -1): _("down and left"), (1, 0): _("down"), (1, 1): _("down and right"),
    }  # fmt: skip
    return directions[(up > 0) - (up < 0), (left > 0) - (left < 0)]


def _advice(analysis: Analysis, part: str, sides: set[int]) -> list[Message]:
    found: list[Message] = []
    for side in sorted(sides):
        near = [str(n) for n in dict.fromkeys(centring_sizes(analysis, part, side)) if n is not None]
        if near:
            found.append(
                _(
                    "Input sides near {side} without a shift: {near}; then every {stride} px.",
                    side=side, near=", ".join(near), stride=analysis[part].jump,
                )
            )  # fmt: skip
        else:
            found.append(
                _(
                    "No input side near {side} removes the shift. Add it to the positions of the cells instead.",
                    side=side,
                )
            )
    return found


def geometry_record(analysis: Analysis) -> dict[str, Any]:
    """plusx.geometry/1: spec, input (c, h, w), parts (a PartGeometry each) and the sides that centre the last one."""
    found, spec = part_geometries(analysis), analysis.graph.spec
    sides = {str(n): list(centring_sizes(analysis, found[-1].name, n)) for n in sorted(set(analysis.size_px))}
    return {
        "schema": "plusx.geometry/1",
        "spec": str(spec),
        "input": [spec.in_channels, *analysis.size_px],
        "parts": [{**part._asdict(), "global": part.whole, "names": _names(part.name)} for part in found],
        "centring_sides": sides,
        "outgrown": outgrown(analysis),
    }


def _names(name: str) -> list[str]:
    return [name] if name == "stem" else list(stage_names(name))
