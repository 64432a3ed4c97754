"""A network as one standalone HTML page: the drawing with stages that fold and unfold, and the table of stages."""

from __future__ import annotations

from collections.abc import Iterator

from plusx.analysis import Analysis, analyse
from plusx.analysis.geometry import Size
from plusx.errors import PlusxError, unknown
from plusx.graph import Network
from plusx.i18n import _
from plusx.svg.compare import compared
from plusx.svg.drawing import Drawing, Section, drawing_of
from plusx.svg.fonts import FAMILY
from plusx.svg.labels import comparison_title, translate_to
from plusx.svg.layout import scene, summary
from plusx.svg.markup import escape, to_svg
from plusx.svg.render import DETAILS
from plusx.svg.sections import size_text
from plusx.svg.slices import Slicer
from plusx.svg.theme import Theme, style_sheet
from plusx.svg.theme import theme as theme_of
from plusx.text.alignment import Translate
from plusx.text.notation import stage_names


def html(
    network: Network, *, detail: str = "blocks", theme: str = "light", diff: Network | None = None, lang: str = "en",
    size_px: int | Size | None = None, fold: bool = True,
) -> str:  # fmt: skip
    """The network as a standalone page; arguments as for `draw`. The page opens at `detail`.

    A folded stage has one bar a block, an unfolded one has blocks or ops; a comparison does not fold. Raises PlusxError.
    """
    if detail not in DETAILS:
        raise PlusxError(unknown(_("detail"), detail, DETAILS))
    say, colours = translate_to(lang), theme_of(theme)
    drawings = [drawing_of(analyse(each, size_px), fold=fold) for each in (network, diff) if each is not None]
    if len(drawings) == 2:
        drawings = compared(*drawings)
        title = say(comparison_title(*(str(each.analysis.graph.spec) for each in drawings)))
        drawing = _whole(drawings, say, colours)
    else:
        title = str(drawings[0].analysis.graph.spec)
        drawing = _folding(drawings[0], say, colours, detail)
    return "\n".join([
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>:root{{color-scheme:{theme}}}{style_sheet(colours)}{_page_style(colours)}</style></head><body>",
        *_heading(title, drawings, say),
        *_switches(say, detail, folding=len(drawings) == 1),
        '<div class="drawing">', *drawing, "</div>",
        *(line for each in drawings for line in _table(each.analysis, say)),
        f"<script>{SCRIPT}</script></body></html>", "",
    ])  # fmt: skip


HEADS = (
    _("part"), _("blocks"), _("output"), _("stride"), _("receptive field"), _("params"), _("MACs"), _("share"),
)  # fmt: skip
SCRIPT = (
    "const ds=document.querySelectorAll('details');"
    "document.querySelectorAll('input[name=detail]').forEach(i=>i.onchange=()=>ds.forEach(d=>d.open=i.value!='stages'));"
)
"""The only script: the switch also folds and unfolds every stage. Folding a single stage needs no script."""


def _page_style(theme: Theme) -> str:
    shown = "".join(f"#{detail}:checked~.drawing .{detail}{{display:block}}" for detail in DETAILS)
    return (
        f"body{{margin:24px;background:{theme.page};color:{theme.ink};font:13px/1.5 {FAMILY}}}h1{{font-size:20px;margin:0}}"
        f"p{{margin:2px 0 10px;color:{theme.muted}}}svg{{display:block}}div{{overflow-x:auto}}details div{{overflow:visible}}"
        f".stages,.blocks,.ops{{display:none}}{shown}"
        "details{position:relative}summary{cursor:pointer;list-style:none}summary::-webkit-details-marker{display:none}"
        f"summary::before{{content:'▸';position:absolute;left:3px;top:19px;color:{theme.muted}}}"
        "details[open]>summary{position:absolute;left:0;top:0;bottom:0;width:18%}details[open]>summary::before{content:'▾'}"
        "details[open]>summary>svg{display:none}summary>svg{display:block}"
        f"#stages:checked~.drawing details[open] .blocks{{display:block}}summary:focus-visible{{outline:2px solid {theme.projection}}}"
        f"table{{border-collapse:collapse;margin:24px 0;font-variant-numeric:tabular-nums}}"
        f"td,th{{padding:3px 9px;font-size:12px;white-space:nowrap;text-align:right;border-bottom:1px solid {theme.plain[1]}55}}"
        "label{margin:0 14px 0 4px}td:first-child,th:first-child{text-align:left}caption{text-align:left;font-weight:700;padding:4px 9px}"
    )


def _heading(title: str, drawings: list[Drawing], say: Translate) -> Iterator[str]:
    """The title, and the costs of a single network. For two networks the drawing shows the costs."""
    yield f"<h1>{escape(title)}</h1>"
    if len(drawings) == 1:
        yield f"<p>{escape(' · '.join(summary(drawings[0], say)))}</p>"


def _switches(say: Translate, detail: str, *, folding: bool) -> Iterator[str]:
    for each, text in zip(DETAILS, (_("stages"), _("blocks"), _("ops")), strict=True):
        checked = " checked" if each == detail else ""
        yield f'<input type="radio" name="detail" id="{each}" value="{each}"{checked}><label for="{each}">{say(text)}</label>'
    if folding:
        hint = say(_("Click the name of a stage to fold or unfold it."))
        yield f"<p>{hint}</p>"


def _whole(drawings: list[Drawing], say: Translate, theme: Theme) -> Iterator[str]:
    for detail in DETAILS:
        yield f'<div class="{detail}">{to_svg(scene(drawings, detail, say), theme, style=False)}</div>'


def _folding(drawing: Drawing, say: Translate, theme: Theme, detail: str) -> Iterator[str]:
    slicer = Slicer(drawing, DETAILS, say)

    def svg(section: Section, at: str) -> str:
        return to_svg(slicer.section(section, at), theme, style=False)

    yield to_svg(slicer.input(), theme, style=False)
    for section in drawing.sections:
        if section.runs:
            is_open = "" if detail == "stages" else " open"
            yield f"<details{is_open}><summary>{svg(section, 'stages')}</summary>"
            yield from (f'<div class="{at}">{svg(section, at)}</div>' for at in ("blocks", "ops"))
            yield "</details>"
        else:
            yield from (f'<div class="{at}">{svg(section, at)}</div>' for at in DETAILS)
    yield to_svg(slicer.output(), theme, style=False)
    yield from (f'<div class="{at}">{to_svg(slicer.legend(at), theme, style=False)}</div>' for at in DETAILS)


def _table(analysis: Analysis, say: Translate) -> Iterator[str]:
    """The table of stages; its columns add up to the last line."""
    yield f"<div><table><caption>{escape(str(analysis.graph.spec))}</caption><thead><tr>"
    yield "".join(f"<th>{say(head)}</th>" for head in HEADS) + "</tr></thead><tbody>"
    blocks = {stage.name: len(stage.blocks) for stage in analysis.graph.stages}
    for part in analysis.stages:
        name = " · ".join(stage_names(part.name)) if part.name in blocks else part.name
        out = f"{part.channels} × {size_text(part.out)}"
        share = f"{100 * part.macs / analysis.totals.macs:.1f} %"
        field = f"{part.rf}*" if part.whole else str(part.rf)
        yield _line(name, blocks.get(part.name, ""), out, part.jump, field, f"{part.params:,}", f"{part.macs:,}", share)
    yield _line(
        say(_("total")),
        sum(blocks.values()),
        "",
        "",
        "",
        f"{analysis.totals.params:,}",
        f"{analysis.totals.macs:,}",
        "100 %",
    )
    yield "</tbody></table></div>"
    whole = next((part.whole for part in analysis.stages if part.whole), None)
    if whole:
        text = _(
            "From {op} on every cell depends on the whole image. The table gives the local receptive field.", op=whole
        )
        yield f"<p>* {say(text)}</p>"


def _line(*cells: object) -> str:
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"
