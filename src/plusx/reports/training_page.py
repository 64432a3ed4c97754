"""A training as one standalone HTML page: what it came to, how it got there, what is mistaken for what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from plusx.svg.fonts import FAMILY
from plusx.svg.line_chart import Curve, chart, thinned
from plusx.svg.markup import escape
from plusx.svg.theme import DARK, LIGHT, Theme

Translate = Callable[[str], str]
Facts = Sequence[tuple[str, str]]
MOST_POINTS = 400
WIDE = (970, 150)


@dataclass(frozen=True)
class Epoch:
    """An evaluation; `low`, `high` is the interval of `top1`."""

    epoch: int
    train_loss: float
    train_top1: float
    nll: float
    top1: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassLine:
    """A class: its images, those named right, the interval of that share."""

    name: str
    n: int
    correct: int
    low: float
    high: float


@dataclass(frozen=True)
class Report:
    """All that the page shows, read and counted already. Texts are English; sections without content are left out."""

    title: str
    lines: Sequence[str]
    """Below the title: what was trained on what, how far it has come."""
    tiles: Sequence[tuple[str, str, str]]
    """Label, figure, what it rests on."""
    epochs: Sequence[Epoch]
    kept_epoch: int | None
    """Whose weights the bundle holds; the figures are theirs."""
    x_label: str
    losses: Sequence[tuple[float, float]]
    rates: Sequence[tuple[float, float]]
    """x, value of single steps; x counts epochs, or steps where no epoch has ended (`x_label` says which)."""
    classes: Sequence[ClassLine]
    classes_note: str
    pairs: Sequence[tuple[str, str, int, float]]
    """Class, what it was named, how many images, which share of the class."""
    pairs_note: str
    matrix: Sequence[Sequence[int]]
    """Rows are true classes, columns answers, in the order of `names`; empty where there are too many."""
    names: Sequence[str]
    skipped: Facts
    skipped_note: str
    facts: Sequence[tuple[str, Facts]]
    """Sections of names and values."""
    recipe: Facts
    command: str


def report_page(report: Report, translate: Translate, lang: str = "en") -> str:
    """The page; it needs nothing else, and follows the reader's choice of light or dark."""
    say = translate
    return "\n".join([
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{escape(report.title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
        f"<style>{_style()}</style></head><body><main>",
        f"<header><h1>{escape(report.title)}</h1>",
        *(f"<p>{escape(say(line))}</p>" for line in report.lines),
        "</header>",
        *_tiles(report, say),
        *_charts(report, say),
        *_classes(report, say),
        *_confusions(report, say),
        *_skipped(report, say),
        *_facts(report, say),
        "</main></body></html>", "",
    ])  # fmt: skip


def _tiles(report: Report, say: Translate) -> Iterator[str]:
    if report.tiles:
        yield '<section class="tiles">'
        for label, figure, rests in report.tiles:
            yield f"<div><span>{escape(say(label))}</span><b>{escape(say(figure))}</b><small>{escape(say(rests))}</small></div>"
        yield "</section>"


def _charts(report: Report, say: Translate) -> Iterator[str]:
    epochs, x_label = report.epochs, say(report.x_label)
    if not epochs and not report.losses:
        return
    kept = next((each for each in epochs if each.epoch == report.kept_epoch), None)
    ringed = (("ring", f"kept: epoch {kept.epoch}"),) if kept else ()
    yield '<section class="charts">'
    losses = thinned(report.losses, MOST_POINTS)
    tops = [*(e.nll for e in epochs), *(e.train_loss for e in epochs), *_without_spikes([y for _, y in losses])]
    curves = [
        Curve("raw", losses),
        _of(epochs, "train", "training", lambda e: e.train_loss, "{:.4f}", say),
        _of(epochs, "val", "validation", lambda e: e.nll, "{:.4f}", say),
    ]
    ring = (kept.epoch, kept.nll) if kept else None
    legend = (("train", "training"), ("val", "validation"), *((("raw", "single steps"),) if losses else ()), *ringed)
    drawn = chart(say("Loss"), curves, x_label, "{:g}".format, y_range=(0, max(tops) or 1), ring=ring)
    yield _figure("Loss", legend, drawn, say)
    if epochs:
        curves = [
            _of(epochs, "train", "training", lambda e: e.train_top1, "{:.2%}", say),
            _of(epochs, "val", "validation", lambda e: e.top1, "{:.2%}", say),
        ]
        band = [(float(e.epoch), e.low, e.high) for e in epochs]
        curves[1] = Curve("val", curves[1].points, curves[1].tips, band)
        low = min(*(e.low for e in epochs), *(e.train_top1 for e in epochs))
        high = max(*(e.high for e in epochs), *(e.train_top1 for e in epochs))
        low, high = max(0.0, low - 0.05 * (high - low)), 1.0 if high > 0.9 else high
        legend = (("train", "training"), ("val", "validation, 95 % band"), *ringed)
        drawn = chart(
            say("Top-1"), [_percent(c) for c in curves], x_label, "{:.4g} %".format,
            y_range=(low * 100, high * 100), ring=(kept.epoch, kept.top1 * 100) if kept else None,
        )  # fmt: skip
        yield _figure("Top-1", legend, drawn, say)
    if report.rates:
        rates = thinned(report.rates, MOST_POINTS)
        drawn = chart(
            say("Learning rate"),
            [Curve("rate", rates)],
            x_label,
            "{:g}".format,
            y_range=(0, max(y for _, y in rates) or 1),
            size=WIDE,
        )
        yield _figure("Learning rate", (), drawn, say, "wide")
    yield "</section>"


def _of(
    epochs: Sequence[Epoch], role: str, name: str, value: Callable[[Epoch], float], form: str, say: Translate
) -> Curve:
    """A value of every evaluation as a curve whose dots say it."""
    tips = [f"{say('epoch')} {e.epoch}, {say(name)}: {form.format(value(e))}" for e in epochs]
    return Curve(role, [(float(e.epoch), value(e)) for e in epochs], tips)


def _percent(curve: Curve) -> Curve:
    points = [(x, 100 * y) for x, y in curve.points]
    return Curve(curve.role, points, curve.tips, [(x, 100 * low, 100 * high) for x, low, high in curve.band])


def _without_spikes(values: Sequence[float]) -> list[float]:
    """All but the highest fiftieth, so that one bad step does not flatten the rest."""
    return sorted(values)[: max(1, round(0.98 * len(values)))]


def _figure(title: str, legend: Sequence[tuple[str, str]], drawn: str, say: Translate, look: str = "") -> str:
    keys = "".join(f'<span class="key {role}">{escape(say(text))}</span>' for role, text in legend)
    return f"<figure class='{look}'><figcaption><b>{escape(say(title))}</b>{keys}</figcaption>\n{drawn}</figure>"


def _classes(report: Report, say: Translate) -> Iterator[str]:
    if not report.classes:
        return
    yield f"<section><h2>{escape(say('Classes'))}</h2>"
    if report.classes_note:
        yield f"<p>{escape(say(report.classes_note))}</p>"
    heads = ("class", "images", "correct", "share", "95 %")
    yield _head("classes", heads, say, wide=True)
    for line in report.classes:
        share = f"{line.correct / line.n:.1%}" if line.n else "–"
        edges = f"{line.low:.1%} – {line.high:.1%}" if line.n else "–"
        bar = ""
        if line.n:
            bar = (
                f'<i class="span" style="left:{100 * line.low:.1f}%;width:{100 * (line.high - line.low):.1f}%"></i>'
                f'<i class="point" style="left:{100 * line.correct / line.n:.1f}%"></i>'
            )
        cells = [f"<td>{escape(line.name)}</td>", *_numbers(f"{line.n:,}", f"{line.correct:,}", share, edges)]
        yield f'<tr>{"".join(cells)}<td class="bar"><div>{bar}</div></td></tr>'
    yield "</tbody></table></div></section>"


def _confusions(report: Report, say: Translate) -> Iterator[str]:
    if not report.pairs and not report.pairs_note:
        return
    yield f"<section><h2>{escape(say('What is mistaken for what'))}</h2>"
    if report.pairs_note:
        yield f"<p>{escape(say(report.pairs_note))}</p>"
    yield '<div class="beside">'
    if report.pairs:
        yield _head("pairs", ("class", "named as", "images", "of the class"), say)
        for true, answer, count, share in report.pairs:
            numbers = "".join(_numbers(f"{count:,}", f"{share:.1%}"))
            yield f"<tr><td>{escape(true)}</td><td>{escape(answer)}</td>{numbers}</tr>"
        yield "</tbody></table></div>"
    if report.matrix:
        yield from _matrix(report, say)
    yield "</div></section>"


def _matrix(report: Report, say: Translate) -> Iterator[str]:
    """Rows are true classes; a cell's tint is its share of the row, mistakes in another colour than hits."""
    turned = " turned" if max(map(len, report.names)) > 3 else ""
    yield f'<div class="scroll"><table class="matrix{turned}"><caption>{escape(say("rows: true class, columns: answer"))}</caption><thead><tr><th></th>'
    yield "".join(f"<th><span>{escape(name)}</span></th>" for name in report.names) + "</tr></thead><tbody>"
    for i, (name, row) in enumerate(zip(report.names, report.matrix, strict=True)):
        total = sum(row) or 1
        cells: list[str] = []
        for j, count in enumerate(row):
            tint = 0.12 + 0.6 * count / total if i == j else min(0.75, 0.14 + 2.5 * count / total)
            look = f' class="{"hit" if i == j else "miss"}" style="--t:{tint:.2f}"' if count else ""
            cells.append(f'<td{look} title="{escape(f"{name} → {report.names[j]}: {count}")}">{count or "·"}</td>')
        yield f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _skipped(report: Report, say: Translate) -> Iterator[str]:
    if not report.skipped:
        return
    yield f"<section><h2>{escape(say('Skipped images'))}</h2><p>{escape(say(report.skipped_note))}</p>"
    yield _head("skipped", ("image", "reason"), say)
    yield from (f"<tr><td>{escape(path)}</td><td>{escape(reason)}</td></tr>" for path, reason in report.skipped)
    yield "</tbody></table></div></section>"


def _facts(report: Report, say: Translate) -> Iterator[str]:
    yield '<section class="facts">'
    for title, facts in report.facts:
        if facts:
            yield f"<div><h2>{escape(say(title))}</h2>{_list(facts, say)}</div>"
    yield "</section>"
    if report.recipe:
        text = escape(say("Every value of the recipe"))
        yield f'<details><summary>{text}</summary><div class="columns">{_list(report.recipe, str)}</div></details>'
    if report.command:
        yield f"<p class=command><code>{escape(report.command)}</code></p>"


def _list(facts: Facts, say: Translate) -> str:
    rows = "".join(f"<div><dt>{escape(say(name))}</dt><dd>{escape(say(value))}</dd></div>" for name, value in facts)
    return f"<dl>{rows}</dl>"


def _head(role: str, heads: Sequence[str], say: Translate, wide: bool = False) -> str:
    cells = "".join(f"<th>{escape(say(head))}</th>" for head in heads) + ("<th></th>" if wide else "")
    return f'<div class="scroll"><table class="{role}"><thead><tr>{cells}</tr></thead><tbody>'


def _numbers(*texts: str) -> list[str]:
    return [f'<td class="n">{text}</td>' for text in texts]


def _colours(theme: Theme) -> str:
    return (
        f"--page:{theme.page};--ink:{theme.ink};--muted:{theme.muted};--rule:{theme.plain[1]}55;--soft:{theme.plain[0]};"
        f"--val:{theme.projection};--train:{theme.mark};--hit:{theme.act}"
    )


def _style() -> str:
    return (
        f":root{{color-scheme:light dark;{_colours(LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{_colours(DARK)}}}}}"
        f"*{{box-sizing:border-box}}body{{margin:0;background:var(--page);color:var(--ink);font:14px/1.5 {FAMILY}}}"
        "main{max-width:1020px;margin:0 auto;padding:32px 24px 48px}h1{font-size:24px;line-height:1.25;margin:0 0 6px;overflow-wrap:anywhere}"
        "h2{font-size:15px;margin:0 0 8px}header p,section>p{margin:0 0 2px;color:var(--muted)}section>p{margin-bottom:8px}section{margin-top:32px}"
        ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin-top:22px}"
        ".tiles div{background:var(--soft);border-radius:8px;padding:12px 16px;display:flex;flex-direction:column}"
        ".tiles span,.tiles small{color:var(--muted);font-size:12px}.tiles b{font-size:24px;line-height:1.35;font-variant-numeric:tabular-nums}"
        ".charts{display:grid;grid-template-columns:1fr 1fr;gap:24px 28px}.wide{grid-column:1/-1}"
        "@media(max-width:820px){.charts{grid-template-columns:1fr}.wide text{font-size:20px}}svg{overflow:visible}"
        "figure{margin:0}figcaption{display:flex;flex-wrap:wrap;gap:2px 16px;align-items:baseline;margin-bottom:4px}"
        ".key{font-size:12px;color:var(--muted)}.key::before{content:'';display:inline-block;width:16px;margin-right:6px;vertical-align:middle;border-top:2.4px solid}"
        ".key.val::before{border-color:var(--val)}.key.train::before{border-color:var(--train);border-top-style:dashed}"
        ".key.raw::before{border-color:var(--train);border-top-width:1.2px;opacity:.5}"
        ".key.ring::before{width:10px;height:10px;border:1.6px solid var(--ink);border-radius:50%}"
        "svg{display:block;width:100%;height:auto}svg text{fill:var(--muted);font-size:11px}.e{text-anchor:end}.m{text-anchor:middle}"
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
        ".command{margin-top:24px;color:var(--muted)}code{font:12px/1.5 'DejaVu Sans Mono',Menlo,Consolas,monospace;overflow-wrap:anywhere}"
        "@media print{details>div{display:block}}"
    )
