"""A training run as one standalone HTML page: its results, its curves, its classes and what they are confused with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from plusx.i18n import Message, _
from plusx.reports.training_style import style_sheet
from plusx.svg.line_chart import Curve, chart, thinned
from plusx.svg.markup import escape
from plusx.text.alignment import Translate

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
    """A class: its images, how many of them are classified correctly, the interval of that share."""

    name: str
    n: int
    correct: int
    low: float
    high: float


@dataclass(frozen=True)
class StageLine:
    """A stage of a run in stages: `n` held-out images, 0 where it was not begun, and `why` then."""

    name: str
    n: int
    top1: float
    low: float
    high: float
    nll: float
    images: int
    time: Message
    kept: bool
    why: str
    has_report: bool
    """Whether the stage has a report of its own, in the directory of its name."""


@dataclass(frozen=True)
class RunReport:
    """The contents of the page. Messages are translated, other texts are data and stay as they are."""

    title: str
    lines: Sequence[Message]
    """Below the title: the data and the progress."""
    tiles: Sequence[tuple[Message, str, Message]]
    """Label, figure, what the figure is computed from."""
    epochs: Sequence[Epoch]
    kept_epoch: int | None
    """The epoch of the weights in the bundle, which the figures belong to."""
    x_label: Message
    losses: Sequence[tuple[float, float]]
    rates: Sequence[tuple[float, float]]
    """x, value of single steps; x counts epochs, or steps where no epoch has ended (`x_label` says which)."""
    stages: Sequence[StageLine]
    """Of a run in stages; such a run has no epochs."""
    classes: Sequence[ClassLine]
    classes_note: Message | None
    pairs: Sequence[tuple[str, str, int, float]]
    """True class, predicted class, images, share of the true class."""
    pairs_note: Message | None
    matrix: Sequence[Sequence[int]]
    """Rows are true classes, columns predicted ones, in the order of `names`; empty where there are too many."""
    names: Sequence[str]
    skipped: Facts
    skipped_note: Message
    facts: Sequence[tuple[Message, Facts]]
    """Sections with names and values."""
    recipe: Facts
    command: str


def report_page(report: RunReport, translate: Translate, lang: str = "en") -> str:
    """The standalone page, light or dark as the reader's system asks for."""
    say = translate
    return "\n".join([
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{escape(_said(report.title, say))}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
        f"<style>{style_sheet()}</style></head><body><main>",
        f"<header><h1>{escape(_said(report.title, say))}</h1>",
        *(f"<p>{escape(say(line))}</p>" for line in report.lines),
        "</header>",
        *_tiles(report, say),
        *_stages(report, say),
        *_charts(report, say),
        *_classes(report, say),
        *_confusions(report, say),
        *_skipped(report, say),
        *_facts(report, say),
        "</main></body></html>", "",
    ])  # fmt: skip


def _said(text: str, say: Translate) -> str:
    """A message in the language of the page; data as it is."""
    return say(text) if isinstance(text, Message) else text


def _tiles(report: RunReport, say: Translate) -> Iterator[str]:
    if report.tiles:
        yield '<section class="tiles">'
        for label, figure, rests in report.tiles:
            yield f"<div><span>{escape(say(label))}</span><b>{escape(figure)}</b><small>{escape(say(rests))}</small></div>"
        yield "</section>"


def _charts(report: RunReport, say: Translate) -> Iterator[str]:
    if not report.epochs and not report.losses:
        return
    yield '<section class="charts">'
    yield _loss_figure(report, say)
    if report.epochs:
        yield _top1_figure(report, say)
    if report.rates:
        yield _rate_figure(report, say)
    yield "</section>"


def _loss_figure(report: RunReport, say: Translate) -> str:
    epochs, kept, losses = report.epochs, _kept(report), thinned(report.losses, MOST_POINTS)
    tops = [*(e.nll for e in epochs), *(e.train_loss for e in epochs), *_without_spikes([y for _x, y in losses])]
    training, validation = _("training"), _("validation")
    curves = [
        Curve("raw", losses),
        _of(epochs, "train", training, lambda e: e.train_loss, "{:.4f}", say),
        _of(epochs, "val", validation, lambda e: e.nll, "{:.4f}", say),
    ]
    ring = (kept.epoch, kept.nll) if kept else None
    single = [("raw", _("single steps"))] if losses else []
    legend = [("train", training), ("val", validation), *single, *_kept_key(kept)]
    drawn = chart(say(_("Loss")), curves, say(report.x_label), "{:g}".format, y_range=(0, max(tops) or 1), ring=ring)
    return _figure(_("Loss"), legend, drawn, say)


def _top1_figure(report: RunReport, say: Translate) -> str:
    epochs, kept, training = report.epochs, _kept(report), _("training")
    train = _of(epochs, "train", training, lambda e: e.train_top1, "{:.2%}", say)
    val = _of(epochs, "val", _("validation"), lambda e: e.top1, "{:.2%}", say)
    val = Curve("val", val.points, val.tips, [(float(e.epoch), e.low, e.high) for e in epochs])
    low = min(*(e.low for e in epochs), *(e.train_top1 for e in epochs))
    high = max(*(e.high for e in epochs), *(e.train_top1 for e in epochs))
    low, high = max(0.0, low - 0.05 * (high - low)), 1.0 if high > 0.9 else high
    drawn = chart(
        say(_("Top-1")), [_percent(train), _percent(val)], say(report.x_label), "{:.4g} %".format,
        y_range=(low * 100, high * 100), ring=(kept.epoch, kept.top1 * 100) if kept else None,
    )  # fmt: skip
    legend = [("train", training), ("val", _("validation, 95 % band")), *_kept_key(kept)]
    return _figure(_("Top-1"), legend, drawn, say)


def _rate_figure(report: RunReport, say: Translate) -> str:
    rates, title = thinned(report.rates, MOST_POINTS), _("Learning rate")
    y_range = (0, max(y for _x, y in rates) or 1)
    curves = [Curve("rate", rates)]
    drawn = chart(say(title), curves, say(report.x_label), "{:g}".format, y_range=y_range, size=WIDE)
    return _figure(title, (), drawn, say, "wide")


def _kept(report: RunReport) -> Epoch | None:
    """The evaluation of the weights in the bundle."""
    return next((each for each in report.epochs if each.epoch == report.kept_epoch), None)


def _kept_key(kept: Epoch | None) -> list[tuple[str, Message]]:
    """The legend of the ring around the kept epoch."""
    return [("ring", _("kept: epoch {epoch}", epoch=kept.epoch))] if kept else []


def _of(
    epochs: Sequence[Epoch], role: str, name: Message, value: Callable[[Epoch], float], form: str, say: Translate
) -> Curve:
    """A value of every evaluation as a curve whose dots have it as their tooltip."""
    tips = [
        say(_("epoch {epoch}, {name}: {value}", epoch=e.epoch, name=name, value=form.format(value(e)))) for e in epochs
    ]
    return Curve(role, [(float(e.epoch), value(e)) for e in epochs], tips)


def _percent(curve: Curve) -> Curve:
    points = [(x, 100 * y) for x, y in curve.points]
    return Curve(curve.role, points, curve.tips, [(x, 100 * low, 100 * high) for x, low, high in curve.band])


def _without_spikes(values: Sequence[float]) -> list[float]:
    """The values without the highest 2 %, so that one bad step does not flatten the rest."""
    return sorted(values)[: max(1, round(0.98 * len(values)))]


def _figure(title: Message, legend: Sequence[tuple[str, Message]], drawn: str, say: Translate, look: str = "") -> str:
    keys = "".join(f'<span class="key {role}">{escape(say(text))}</span>' for role, text in legend)
    return f"<figure class='{look}'><figcaption><b>{escape(say(title))}</b>{keys}</figcaption>\n{drawn}</figure>"


def _stages(report: RunReport, say: Translate) -> Iterator[str]:
    if not report.stages:
        return
    yield f"<section>{_heading(_('Stages'), say)}"
    heads = (_("stage"), _("trained on"), _("Top-1"), _("95 %"), _("NLL"), _("time"), _("outcome"))
    yield _head("stages", heads, say)
    for line in report.stages:
        name = f"<td>{escape(line.name)}</td>"
        if line.n and line.has_report:
            name = f'<td><a href="{escape(line.name)}/report.html">{escape(line.name)}</a></td>'
        if line.n:
            outcome = _("kept") if line.kept else _("not better than what was kept")
            images = _("{n:,} images", n=line.images)
            figures = (f"{line.top1:.2%}", f"{line.low:.1%} – {line.high:.1%}", f"{line.nll:.3f}", say(line.time))
            yield f"<tr>{name}{''.join(_numbers(say(images), *figures))}<td>{escape(say(outcome))}</td></tr>"
        else:
            outcome = _("not begun: {why}", why=line.why)
            yield f"<tr>{name}{''.join(_numbers(*['–'] * 5))}<td>{escape(say(outcome))}</td></tr>"
    yield "</tbody></table></div></section>"


def _classes(report: RunReport, say: Translate) -> Iterator[str]:
    if not report.classes:
        return
    heading = _heading(_("Classes"), say)
    yield f"<section>{heading}"
    if report.classes_note:
        yield f"<p>{escape(say(report.classes_note))}</p>"
    heads = (_("class"), _("images"), _("correct"), _("share"), _("95 %"))
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


def _confusions(report: RunReport, say: Translate) -> Iterator[str]:
    if not report.pairs and not report.pairs_note:
        return
    heading = _heading(_("Confusions"), say)
    yield f"<section>{heading}"
    if report.pairs_note:
        yield f"<p>{escape(say(report.pairs_note))}</p>"
    yield '<div class="beside">'
    if report.pairs:
        yield _head("pairs", (_("class"), _("predicted as"), _("images"), _("of the class")), say)
        for true, answer, count, share in report.pairs:
            numbers = "".join(_numbers(f"{count:,}", f"{share:.1%}"))
            yield f"<tr><td>{escape(true)}</td><td>{escape(answer)}</td>{numbers}</tr>"
        yield "</tbody></table></div>"
    if report.matrix:
        yield from _matrix(report, say)
    yield "</div></section>"


def _matrix(report: RunReport, say: Translate) -> Iterator[str]:
    """Rows are true classes; the tint of a cell is its share of the row, with one colour for hits and one for mistakes."""
    caption = escape(say(_("rows: true class, columns: predicted class")))
    turned = " turned" if max(map(len, report.names)) > 3 else ""
    yield f'<div class="scroll"><table class="matrix{turned}"><caption>{caption}</caption><thead><tr><th></th>'
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


def _skipped(report: RunReport, say: Translate) -> Iterator[str]:
    if not report.skipped:
        return
    heading = _heading(_("Skipped images"), say)
    yield f"<section>{heading}<p>{escape(say(report.skipped_note))}</p>"
    yield _head("skipped", (_("image"), _("reason")), say)
    yield from (f"<tr><td>{escape(path)}</td><td>{escape(reason)}</td></tr>" for path, reason in report.skipped)
    yield "</tbody></table></div></section>"


def _facts(report: RunReport, say: Translate) -> Iterator[str]:
    yield '<section class="facts">'
    for title, facts in report.facts:
        if facts:
            yield f"<div>{_heading(title, say)}{_list(facts, say)}</div>"
    yield "</section>"
    if report.recipe:
        text = escape(say(_("All values of the recipe")))
        yield f'<details><summary>{text}</summary><div class="columns">{_list(report.recipe, str)}</div></details>'
    if report.command:
        yield f"<p class=command><code>{escape(report.command)}</code></p>"


def _heading(title: Message, say: Translate) -> str:
    return f"<h2>{escape(say(title))}</h2>"


def _list(facts: Facts, say: Translate) -> str:
    rows = "".join(
        f"<div><dt>{escape(_said(name, say))}</dt><dd>{escape(_said(value, say))}</dd></div>" for name, value in facts
    )
    return f"<dl>{rows}</dl>"


def _head(role: str, heads: Sequence[Message], say: Translate, wide: bool = False) -> str:
    cells = "".join(f"<th>{escape(say(head))}</th>" for head in heads) + ("<th></th>" if wide else "")
    return f'<div class="scroll"><table class="{role}"><thead><tr>{cells}</tr></thead><tbody>'


def _numbers(*texts: str) -> list[str]:
    return [f'<td class="n">{text}</td>' for text in texts]
