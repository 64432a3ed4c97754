"""A network as a table for a terminal or for Markdown. No colour, no dependency."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from plusx.analysis import Analysis
from plusx.text.alignment import aligned, markdown_table
from plusx.text.entries import Entry, entries
from plusx.text.notation import GATES, stage_names

Translate = Callable[[str], str]
RIGHT = ("layers", "stride", "field", "params", "MACs", "share")
HEADS = ("layers", "part", "what", "out", "stride", "field", "params", "MACs", "share")


def as_is(text: str) -> str:
    return text


def table(analysis: Analysis, detail: str = "blocks", translate: Translate = as_is) -> str:
    """The network as aligned text: title, lines, total, notes."""
    listed = entries(analysis, detail)
    body: list[list[str | None]] = []
    for entry in listed:
        cells: list[str | None] = [*_cells(entry, analysis, translate)]
        if entry.level == 0:  # a part's names run on over the next column
            cells[1:3] = [", ".join(filter(None, cells[1:3])), None]
        body.append(cells)
    body.append([*_total(analysis, translate)])
    lines = aligned([translate(head) for head in HEADS], body, right=[head in RIGHT for head in HEADS])
    lines.insert(-1, "")
    return "\n".join([translate(title(analysis)), "", *lines, "", *map(translate, notes(analysis, listed)), ""])


def markdown(analysis: Analysis, detail: str = "blocks", translate: Translate = as_is) -> str:
    """The same as a Markdown table, parts in bold."""
    listed = entries(analysis, detail)
    rows, levels = [_cells(entry, analysis, translate) for entry in listed], [entry.level for entry in listed]
    body: list[list[str]] = []
    for level, cells in zip([*levels, 0], [*rows, _total(analysis, translate)], strict=True):
        cells = [cell.strip() for cell in cells]
        body.append([f"**{cell}**" if cell and level == 0 and detail != "stages" else cell for cell in cells])
    lines = markdown_table([translate(head) for head in HEADS], body, [head in RIGHT for head in HEADS])
    return "\n".join(
        [
            f"**{translate(title(analysis))}**",
            "",
            *lines,
            "",
            *(f"- {translate(note)}" for note in notes(analysis, listed)),
            "",
        ]
    )


def title(analysis: Analysis) -> str:
    spec, (h, w) = analysis.graph.spec, analysis.size_px
    return f"{spec}, input {spec.in_channels}x{h}x{w}"


def notes(analysis: Analysis, listed: Sequence[Entry]) -> list[str]:
    """The lines below a table of these entries: how depth is counted, and what each column means."""
    depth, spec = analysis.depth, analysis.graph.spec
    found = [f"depth {depth.sum}", layer_note(analysis)]
    if any(entry.repeat > 1 for entry in listed):
        found.append("n×: n equal blocks, each with its own weights; params and MACs of all n, field behind the last")
    found.append(
        "MACs: multiply-adds of convolutions and linear layers, nothing else; stride and field in pixels of the input"
    )
    whole = next((row.whole for row in analysis.rows if row.whole), None)
    if whole:
        found.append(
            f"field is the local one; from {whole} on ({whole_reason(analysis, whole)}) every cell also depends on the whole image"
        )
    if spec.order == "pre":
        found.append("order=pre: norm and activation stand before each convolution, nothing after the join")
    return found


def whole_reason(analysis: Analysis, name: str) -> str:
    kind = analysis.graph[name].kind
    return f"{GATES[kind]} gate" if kind in GATES else "group norm"


def layer_note(analysis: Analysis) -> str:
    """50 counted, 53 convolutions, 54 layers with weights: why the three differ."""
    depth = analysis.depth
    shortcuts = sum(op.kind == "conv" for s in analysis.graph.stages for b in s.blocks for op in b.shortcut)
    linear = depth.weighted - depth.convs
    stem = sum(op.kind == "conv" for op in analysis.graph.stem)
    of = [f"{stem} in the stem, counted once"] if stem > 1 else []
    of += [f"{shortcuts} on shortcuts"] if shortcuts else []
    inner = f" ({', '.join(of)})" if of else ""
    end = f"{depth.weighted} with weights (convolutions and fc)" if linear else "no fc"
    return f"layers: {depth.counted} counted, {depth.convs} convolutions{inner}, {end}"


def _cells(entry: Entry, analysis: Analysis, translate: Translate) -> list[str]:
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
    return [
        str(analysis.depth.counted),
        translate("total"),
        "",
        "",
        "",
        "",
        f"{totals.params:,}",
        f"{totals.macs:,}",
        "100.0 %",
    ]


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
