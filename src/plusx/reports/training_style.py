"""The style sheet of the page of a training run, light and dark."""

from __future__ import annotations

import re

from plusx.svg.fonts import FAMILY
from plusx.svg.theme import DARK, LIGHT, Theme
from plusx.svg.theme import style_sheet as drawing_style


def _colours(theme: Theme) -> str:
    return (
        f"--page:{theme.page};--ink:{theme.ink};--muted:{theme.muted};--rule:{theme.plain[1]}55;--soft:{theme.plain[0]};"
        f"--val:{theme.projection};--train:{theme.mark};--hit:{theme.act}"
    )


def _drawing(theme: Theme) -> str:
    """The style of a drawing, for what lies in `.net` alone."""
    return re.sub(r"([^{}]+)\{", r".net \1{", drawing_style(theme))


def drawing_sheet() -> str:
    """The CSS of a network drawn in `.net`, light or dark as the page; nothing else on the page follows it."""
    return f"{_drawing(LIGHT)}@media(prefers-color-scheme:dark){{{_drawing(DARK)}}}"


def style_sheet() -> str:
    """The CSS of the page; it follows the light or dark setting of the reader's system."""
    return (
        f":root{{color-scheme:light dark;{_colours(LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{_colours(DARK)}}}}}"
        f"*{{box-sizing:border-box}}body{{margin:0;background:var(--page);color:var(--ink);font:14px/1.5 {FAMILY}}}"
        "main{max-width:1020px;margin:0 auto;padding:32px 24px 48px}h1{font-size:24px;line-height:1.25;margin:0 0 6px;overflow-wrap:anywhere}"
        "h2{font-size:15px;margin:0 0 8px}header p,section>p{margin:0 0 2px;color:var(--muted)}section>p{margin-bottom:8px}section{margin-top:32px}"
        ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin-top:22px}"
        ".tiles div{background:var(--soft);border-radius:8px;padding:12px 16px;display:flex;flex-direction:column}"
        ".tiles span,.tiles small{color:var(--muted);font-size:12px}.tiles b{font-size:24px;line-height:1.35;font-variant-numeric:tabular-nums}"
        ".charts{display:grid;grid-template-columns:1fr 1fr;gap:24px 28px}.wide{grid-column:1/-1}"
        "@media(max-width:820px){.charts{grid-template-columns:1fr}figure.wide svg text{font-size:20px}}figure svg{overflow:visible}"
        "figure{margin:0}figcaption{display:flex;flex-wrap:wrap;gap:2px 16px;align-items:baseline;margin-bottom:4px}"
        ".key{font-size:12px;color:var(--muted)}.key::before{content:'';display:inline-block;width:16px;margin-right:6px;vertical-align:middle;border-top:2.4px solid}"
        ".key.val::before{border-color:var(--val)}.key.train::before{border-color:var(--train);border-top-style:dashed}"
        ".key.raw::before{border-color:var(--train);border-top-width:1.2px;opacity:.5}"
        ".key.ring::before{width:10px;height:10px;border:1.6px solid var(--ink);border-radius:50%}"
        "svg{display:block;width:100%;height:auto}figure svg text{fill:var(--muted);font-size:11px}.e{text-anchor:end}.m{text-anchor:middle}"
        ".beyond{margin:2px 0 0;font-size:12px;color:var(--muted)}h3{font-size:13px;font-weight:600;margin:16px 0 8px}"
        ".mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(224px,1fr));gap:18px 20px}.card{min-width:0}"
        ".pair2{display:grid;grid-template-columns:1fr 1fr;gap:4px}.pair2 .frame{height:112px;border-radius:6px}.pair2 .frame img{width:100%!important;height:100%!important;object-fit:contain}"
        ".drawn{display:grid;grid-template-columns:minmax(0,620px) minmax(220px,1fr);gap:24px 36px;align-items:start}"
        ".net svg{max-width:620px;margin:-8px 0 0 -18px}.side>div{margin-bottom:22px}@media(max-width:820px){.drawn{grid-template-columns:1fr}}"
        "s{color:var(--muted);text-decoration:none;margin-left:8px}.commands>div{padding:6px 0}.commands dt{flex:0 0 168px}"
        ".grid{stroke:var(--rule);stroke-width:1}.axis{stroke:var(--muted);stroke-width:1;fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
        ".val.line,.rate.line{stroke:var(--val)}.train.line{stroke:var(--train);stroke-dasharray:5 3}.raw.line{stroke:var(--train);stroke-width:1;opacity:.4}"
        ".val.dot{fill:var(--val)}.train.dot{fill:var(--train)}.val.band{fill:var(--val);opacity:.16}.touch{fill:transparent}"
        ".ring{fill:none;stroke:var(--ink);stroke-width:1.6}"
        ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}"
        "th{font-weight:400;font-size:12px;color:var(--muted);text-align:left}td,th{padding:4px 14px 4px 0;border-bottom:1px solid var(--rule);white-space:nowrap}"
        "td.n{text-align:right}.classes th:nth-child(n+2),.pairs th:nth-child(n+3){text-align:right}.classes{width:100%}"
        ".bar{width:42%;min-width:160px;padding-right:3px}.bar div{position:relative;height:12px;background:var(--soft);border-radius:3px}"
        ".span{position:absolute;top:3px;height:6px;background:var(--val);opacity:.35;border-radius:3px}"
        ".point{position:absolute;top:1px;width:3px;height:10px;margin-left:-1.5px;background:var(--val);border-radius:1px}"
        ".beside{display:flex;flex-wrap:wrap;gap:24px 48px;align-items:flex-start}.beside>div{max-width:100%}"
        ".matrix caption{caption-side:bottom;text-align:left;font-size:12px;color:var(--muted);padding-top:6px}"
        ".matrix td{text-align:center;padding:3px 6px;min-width:30px;border:1px solid var(--page);color:var(--muted)}"
        ".matrix th{padding:3px 8px 3px 0;border:0}.matrix thead th{vertical-align:bottom;padding:0 0 6px;text-align:center}"
        ".turned thead span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:120px;overflow:hidden;text-overflow:ellipsis;display:inline-block}"
        ".matrix .hit,.matrix .miss{color:var(--ink)}.matrix .hit{background:color-mix(in srgb,var(--hit) calc(var(--t)*100%),transparent)}"
        ".matrix .miss{background:color-mix(in srgb,var(--train) calc(var(--t)*100%),transparent)}"
        ".skipped td{white-space:normal;overflow-wrap:anywhere}.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,290px),1fr));gap:24px 36px}"
        "dl{margin:0}dl>div{display:flex;gap:12px;padding:3px 0;border-bottom:1px solid var(--rule);font-size:13px;break-inside:avoid}"
        "dt{color:var(--muted);flex:0 0 108px}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}"
        "details{margin-top:24px}summary{cursor:pointer;color:var(--muted)}.columns{columns:3 240px;column-gap:36px;margin-top:8px}"
        "code{font:12px/1.5 'DejaVu Sans Mono',Menlo,Consolas,monospace;overflow-wrap:anywhere}"
        "@media print{details>div{display:block}}"
    )
