"""A training run as one standalone HTML page: its results, its curves, its mistakes, its network, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plusx.analysis import Analysis
from plusx.i18n import Message, _
from plusx.reports.cards import CARD_STYLE, frame, odds, place
from plusx.reports.mistakes import MistakeRow
from plusx.reports.training_charts import Curves, charts
from plusx.reports.training_style import drawing_sheet, style_sheet
from plusx.svg.drawing import drawing_of
from plusx.svg.layout import scene
from plusx.svg.markup import escape, to_svg
from plusx.svg.theme import LIGHT
from plusx.text.alignment import Translate

Facts = Sequence[tuple[str, str]]


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
class RecipeLine:
    """A key of the recipe and its value; `shipped` is the one of the recipe of that name where it is another."""

    key: str
    value: str
    shipped: str | None = None


@dataclass(frozen=True)
class RunReport:
    """The contents of the page. Messages are translated, other texts are data and stay as they are."""

    title: str
    lines: Sequence[Message]
    """Below the title: the data and the progress."""
    tiles: Sequence[tuple[Message, str, Message]]
    """Label, figure, what the figure is computed from."""
    curves: Curves
    stages: Sequence[StageLine]
    """Of a run in stages; such a run has no epochs."""
    mistakes: Sequence[MistakeRow]
    mistakes_note: Message | None
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
    network: Analysis | None
    """To be drawn; None where this plusx cannot lower the spec."""
    facts: Sequence[tuple[Message, Facts]]
    """Sections with names and values."""
    recipe_name: str
    recipe: Sequence[RecipeLine]
    command: str
    next: Sequence[tuple[Message, str]]
    """What for, and the command."""


def report_page(report: RunReport, translate: Translate, lang: str = "en") -> str:
    """The standalone page, light or dark as the reader's system asks for."""
    say = translate
    return "\n".join([
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{escape(_said(report.title, say))}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
        f"<style>{style_sheet()}{CARD_STYLE}{drawing_sheet()}</style></head><body><main>",
        f"<header><h1>{escape(_said(report.title, say))}</h1>",
        *(f"<p>{escape(say(line))}</p>" for line in report.lines),
        "</header>",
        *_tiles(report, say),
        *_stages(report, say),
        *charts(report.curves, say),
        *_mistakes(report, say),
        *_classes(report, say),
        *_confusions(report, say),
        *_skipped(report, say),
        *_network(report, say),
        *([f'<section class="facts">{_facts(report, say)}</section>'] if report.network is None else []),
        *_recipe(report, say),
        *_commands(report, say),
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


def _mistakes(report: RunReport, say: Translate) -> Iterator[str]:
    if report.mistakes_note is None:
        return
    yield f"<section>{_heading(_('Mistakes'), say)}<p>{escape(say(report.mistakes_note))}</p>"
    kinds = (
        (True, _("Worst: the least probability for the image's own class")),
        (False, _("Most certain: the largest probability for another class")),
    )
    for worst, title in kinds:
        rows = [row for row in report.mistakes if row.worst is worst]
        if not rows:
            continue
        yield f'<h3>{escape(say(title))}</h3><div class="mistakes">'
        for row in rows:
            yield f'<div class="card"><div class="pair2">{frame(row.image, row.path)}{frame(row.cam, row.path)}</div><div class="odds">'
            yield odds("b", row.predicted, row.p_predicted, "var(--train)", say(_("predicted")))
            yield odds("span", row.label, row.p_label, "var(--hit)", say(_("labelled")))
            yield f"</div>{place(row.path)}</div>"
        yield "</div>"
    yield "</section>"


def _network(report: RunReport, say: Translate) -> Iterator[str]:
    """The drawing, and beside it the facts."""
    if report.network is None:
        return
    drawn = to_svg(scene([drawing_of(report.network)], "stages", say), LIGHT, style=False)
    drawn = drawn.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)  # HTML needs none
    yield f'<section class="drawn"><div class="net">{drawn}</div><div class="side">{_facts(report, say)}</div></section>'


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


def _facts(report: RunReport, say: Translate) -> str:
    return "".join(f"<div>{_heading(title, say)}{_list(facts, say)}</div>" for title, facts in report.facts if facts)


def _recipe(report: RunReport, say: Translate) -> Iterator[str]:
    """The values that are not those of the recipe of that name; the others fold."""
    if not report.recipe:
        return
    changed = [line for line in report.recipe if line.shipped is not None]
    changed.sort(key=lambda line: line.shipped == "auto")
    yield f"<section>{_heading(_('Recipe {name}', name=report.recipe_name), say)}"
    note = _(
        "These values differ from the recipe's own, which are in grey. What is auto there depends on data and weights."
    )
    yield f"<p>{escape(say(note if changed else _('All values are those of the recipe itself.')))}</p>"
    yield f'<div class="columns">{_recipe_list(changed)}</div>'
    text = escape(say(_("All values of the recipe")))
    yield f'<details><summary>{text}</summary><div class="columns">{_recipe_list(report.recipe)}</div></details></section>'


def _recipe_list(lines: Sequence[RecipeLine]) -> str:
    rows = "".join(
        f"<div><dt>{escape(line.key)}</dt><dd>{escape(line.value)}</dd></div>"
        if line.shipped is None
        else f"<div><dt>{escape(line.key)}</dt><dd><b>{escape(line.value)}</b> <s>{escape(line.shipped)}</s></dd></div>"
        for line in lines
    )
    return f"<dl>{rows}</dl>"


def _commands(report: RunReport, say: Translate) -> Iterator[str]:
    lines = [*([(_("this run"), report.command)] if report.command else []), *report.next]
    if not lines:
        return
    yield f'<section>{_heading(_("Commands"), say)}<dl class="commands">'
    for what, command in lines:
        yield f"<div><dt>{escape(say(what))}</dt><dd><code>{escape(command)}</code></dd></div>"
    yield "</dl></section>"


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
