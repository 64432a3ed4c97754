"""A network as a table for a terminal, for Markdown and for a notebook. No colour."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from plusx import settings
from plusx.analysis import Analysis
from plusx.i18n import Message, _, translator
from plusx.text.alignment import Translate, fitted, hidden_note, html_table, markdown_table, paragraph
from plusx.text.entries import TableEntry, entries
from plusx.text.notation import GATES, stage_names

HEADS = (
    _("layers"), _("part"), _("content"), _("out"), _("stride"), _("rf"), _("params"), _("MACs"), _("share"),
)  # fmt: skip
RIGHT = (True, False, False, False, True, True, True, True, True)
DROPPED = (0, 8, 4, 5, 3)
"""Columns that a narrow terminal goes without, in this order: layers, share, stride, rf, out."""
WRAPPED = (2, 1)


def table(analysis: Analysis, detail: str = "blocks", translate: Translate = str, *, width: int | None = None) -> str:
    """The network as aligned text: title, lines, total, notes; no line wider than `width` where columns can be hidden."""
    listed = entries(analysis, detail)
    heads = [translate(head) for head in HEADS]
    rows = [*_rows(listed, analysis, translate), _total(analysis, translate)]
    lines, hidden = fitted(heads, rows, RIGHT, width, drop=DROPPED, wrap=WRAPPED)
    lines.insert(-1, "")
    shown = [*notes(analysis, listed), *hidden_note(HEADS, hidden)]
    said = [line for note in shown for line in paragraph(translate(note), width, "  ", "")]
    return "\n".join([*paragraph(translate(title(analysis)), width, "  ", ""), "", *lines, "", *said, ""])


def markdown(analysis: Analysis, detail: str = "blocks", translate: Translate = str) -> str:
    """The same as a Markdown table, parts in bold."""
    listed = entries(analysis, detail)
    rows, levels = [_cells(entry, analysis, translate) for entry in listed], [entry.level for entry in listed]
    body: list[list[str]] = []
    for level, cells in zip([*levels, 0], [*rows, _total(analysis, translate)], strict=True):
        cells = [cell.strip() for cell in cells]
        body.append([f"**{cell}**" if cell and level == 0 and detail != "stages" else cell for cell in cells])
    lines = markdown_table([translate(head) for head in HEADS], body, RIGHT)
    said = [f"- {translate(note)}" for note in notes(analysis, listed)]
    return "\n".join([f"**{translate(title(analysis))}**", "", *lines, "", *said, ""])


def network_html(analysis: Analysis, translate: Translate | None = None) -> str:
    """The table of blocks as HTML, which a notebook shows for an Analysis; in the language of PLUSX_LANG unless told."""
    translate = translate or translator(settings.language())
    listed = entries(analysis, "blocks")
    rows = [*_rows(listed, analysis, translate), _total(analysis, translate)]
    said = "<br>".join(escape(translate(note)) for note in notes(analysis, listed))
    shown = html_table([translate(head) for head in HEADS], rows, RIGHT)
    return f"<div><b>{escape(translate(title(analysis)))}</b>{shown}<small>{said}</small></div>"


def title(analysis: Analysis) -> Message:
    spec, (h, w) = analysis.graph.spec, analysis.size_px
    return _("{spec}, input {channels}x{h}x{w}", spec=str(spec), channels=spec.in_channels, h=h, w=w)


def notes(analysis: Analysis, listed: Sequence[TableEntry]) -> list[Message]:
    """The lines below a table of these entries: how depth is counted, and what each column means."""
    depth, spec = analysis.depth, analysis.graph.spec
    found = [_("Depth: {sum}.", sum=depth.sum), layer_note(analysis)]
    if any(entry.repeat > 1 for entry in listed):
        found.append(
            _(
                "n× stands for n equal blocks with separate weights: params and MACs are their sums, rf is behind the last."
            )
        )
    found.append(_("MACs are the multiply-adds of convolutions and linear layers only."))
    found.append(_("stride and rf (receptive field) are in pixels of the input."))
    whole = next((row.whole for row in analysis.rows if row.whole), None)
    if whole:
        found.append(
            _(
                "rf is the local receptive field. From {op} on ({reason}) every cell also depends on the whole image.",
                op=whole, reason=whole_reason(analysis, whole),
            )
        )  # fmt: skip
    if spec.order == "pre":
        found.append(_("order=pre: norm and activation come before each convolution, and nothing follows the join."))
    return found


def whole_reason(analysis: Analysis, name: str) -> Message:
    """What makes every cell depend on the whole image: `SE gate`, `group norm`."""
    kind = analysis.graph[name].kind
    return _("{gate} gate", gate=GATES[kind]) if kind in GATES else _("group norm")


def layer_note(analysis: Analysis) -> Message:
    """50 counted, 53 convolutions, 54 layers with weights: why the three differ."""
    depth = analysis.depth
    shortcuts = sum(op.kind == "conv" for s in analysis.graph.stages for b in s.blocks for op in b.shortcut)
    stem = sum(op.kind == "conv" for op in analysis.graph.stem)
    n = depth.convs
    if stem > 1 and shortcuts:
        convs = _(
            "{n} convolutions ({stem} in the stem, counted once, {shortcuts} on shortcuts)",
            n=n, stem=stem, shortcuts=shortcuts,
        )  # fmt: skip
    elif stem > 1:
        convs = _("{n} convolutions ({stem} in the stem, counted once)", n=n, stem=stem)
    elif shortcuts:
        convs = _("{n} convolutions ({shortcuts} on shortcuts)", n=n, shortcuts=shortcuts)
    else:
        convs = _("{n} convolutions", n=n)
    end = _("{n} with weights (convolutions and fc)", n=depth.weighted) if depth.weighted > n else _("no fc")
    return _("Layers: {counted} counted, {convs}, {end}.", counted=depth.counted, convs=convs, end=end)


def _rows(listed: Sequence[TableEntry], analysis: Analysis, translate: Translate) -> list[list[str | None]]:
    """Cells of each entry; the names of a part run on over the next column."""
    found: list[list[str | None]] = []
    for entry in listed:
        cells: list[str | None] = [*_cells(entry, analysis, translate)]
        if entry.level == 0:
            cells[1:3] = [", ".join(filter(None, cells[1:3])), None]
        found.append(cells)
    return found


def _cells(entry: TableEntry, analysis: Analysis, translate: Translate) -> list[str]:
    name = entry.name
    if entry.kind == "stage":
        name = " = ".join(stage_names(entry.name))
    elif entry.repeat > 1 and entry.kind == "block":
        name = f"{entry.repeat}× {name}"
    elif entry.level == 2:
        name = ".".join(name.split(".")[2:])
    params, macs = entry.params * entry.repeat, entry.macs * entry.repeat
    share = f"{100 * macs / analysis.totals.macs:.1f} %" if macs else ""
    out = f"{entry.channels}x{entry.out[0]}x{entry.out[1]}"
    costs = [f"{params:,}" if params else "", f"{macs:,}" if macs else "", share]
    where = "  " * entry.level + name
    return [_span(entry.layers), where, translate(entry.text), out, str(entry.jump), str(entry.rf), *costs]


def _total(analysis: Analysis, translate: Translate) -> list[str]:
    totals = analysis.totals
    costs = [f"{totals.params:,}", f"{totals.macs:,}", "100.0 %"]
    return [str(analysis.depth.counted), translate(_("total")), "", "", "", "", *costs]


def _span(numbers: Sequence[int]) -> str:
    """Layer numbers in few characters: 5, 5-10, or 15,18..21 where others lie between."""
    if not numbers:
        return ""
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return str(first)
    if last - first == len(numbers) - 1:
        return f"{first}-{last}"
    return ",".join(map(str, numbers)) if len(numbers) <= 3 else f"{first},{numbers[1]}..{last}"
