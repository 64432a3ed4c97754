"""A check of a data set as one standalone HTML page: images to look at, a curve, and lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from plusx.i18n import Message, _
from plusx.reports.cards import CARD_STYLE, frame, odds, place
from plusx.reports.training_style import style_sheet
from plusx.svg.line_chart import Curve, chart
from plusx.svg.markup import escape
from plusx.text.alignment import Translate

Text = Message | str


@dataclass(frozen=True)
class ImageCard:
    """An image: a data URI ("" where it could not be shown), its path in full, and a line below it; `classes` label and looks-like."""

    uri: str
    path: str
    line: Text
    tag: Text = ""


@dataclass(frozen=True)
class Suspicion:
    """An image under suspicion, its class and the one that it looks like, with their probabilities."""

    card: ImageCard
    label: str
    p_label: float
    looks_like: str
    p_looks_like: float


@dataclass(frozen=True)
class ImagePair:
    """Two images that are nearly the same, and how similar they are, at most 1."""

    left: ImageCard
    right: ImageCard
    similarity: float


@dataclass(frozen=True)
class ShareLine:
    """A point of the curve: images trained on, accuracy and its interval."""

    share: float
    images: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class FindingGroup:
    """Findings of one kind: how many, the first of them (paths and a note), and how many are not listed."""

    kind: str
    about: Message
    count: int
    lines: Sequence[tuple[str, Text]]
    more: int


@dataclass(frozen=True)
class DataPage:
    """The contents of the page. Messages are translated, other texts are data and stay as they are."""

    title: str
    lines: Sequence[Text]
    tiles: Sequence[tuple[Message, str, Message]]
    """Label, figure, what the figure means."""
    suspicions: Sequence[Suspicion]
    suspicions_note: Message | None
    pairs: Sequence[ImagePair]
    pairs_note: Message | None
    shares: Sequence[ShareLine]
    verdict: Message | None
    findings: Sequence[FindingGroup]
    classes: Sequence[tuple[str, int, int]]
    """Name, training images, validation images."""
    classes_note: Message | None


def data_page(page: DataPage, translate: Translate, lang: str = "en") -> str:
    """The standalone page, light or dark as the reader's system asks for."""
    say = translate
    title = _("Data check: {title}", title=page.title)
    return "\n".join([
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{escape(say(title))}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
        f"<style>{style_sheet()}{CARD_STYLE}{STYLE}</style></head><body><main>",
        f"<header><h1>{escape(say(title))}</h1>",
        *(f"<p>{escape(_said(line, say))}</p>" for line in page.lines),
        "</header>",
        *_tiles(page, say),
        *_suspicions(page, say),
        *_pairs(page, say),
        *_curve(page, say),
        *_findings(page, say),
        *_classes(page, say),
        "</main></body></html>", "",
    ])  # fmt: skip


STYLE = (
    ".cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(162px,1fr));gap:16px 14px}"
    ".card{min-width:0}"
    ".card p,.pair p{margin:6px 0 0;font-size:13px;line-height:1.35;color:var(--ink);overflow-wrap:anywhere}"
    ".couples{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:18px 20px}"
    ".pair{display:grid;grid-template-columns:1fr 1fr;gap:0 6px;min-width:0}.pair>div{min-width:0}.pair>p{grid-column:1/-1}"
    ".tag{font-size:11px;color:var(--muted)}.growth{display:flex;flex-wrap:wrap;gap:20px 44px;align-items:flex-start}.growth figure{flex:1 1 420px;max-width:560px}"
    ".growth td:nth-child(n+2),.growth th:nth-child(n+2),.balance td:nth-child(n+2),.balance th:nth-child(n+2){text-align:right}"
    ".kinds td:first-child,.kinds td:nth-child(2){vertical-align:top}.kinds td:nth-child(2){text-align:right}.kinds td:last-child{white-space:normal;overflow-wrap:anywhere;width:100%}"
    ".kinds small{display:block;color:var(--muted);font-size:12px}.verdict{color:var(--ink)!important;max-width:76ch}"
    ".kinds tr.none td{color:var(--muted)}.balance{min-width:280px}"
)


def _said(text: Text, say: Translate) -> str:
    """A message in the language of the page; data as it is."""
    return say(text) if isinstance(text, Message) else text


def _tiles(page: DataPage, say: Translate) -> Iterator[str]:
    yield '<section class="tiles">'
    for label, figure, means in page.tiles:
        yield f"<div><span>{escape(say(label))}</span><b>{escape(figure)}</b><small>{escape(say(means))}</small></div>"
    yield "</section>"


def _suspicions(page: DataPage, say: Translate) -> Iterator[str]:
    if page.suspicions_note is None:
        return
    yield f"<section><h2>{escape(say(_('Suspected labels')))}</h2><p>{escape(say(page.suspicions_note))}</p>"
    yield '<div class="cards">'
    for row in page.suspicions:
        yield f'<div class="card">{frame(row.card.uri, row.card.path)}<div class="odds">'
        yield odds("b", row.looks_like, row.p_looks_like, "var(--val)", say(_("looks like")))
        yield odds("span", row.label, row.p_label, "var(--train)", say(_("labelled")))
        yield f"</div>{place(row.card.path)}</div>"
    yield "</div></section>"


def _pairs(page: DataPage, say: Translate) -> Iterator[str]:
    if page.pairs_note is None:
        return
    yield f"<section><h2>{escape(say(_('Near-duplicates across train and val')))}</h2><p>{escape(say(page.pairs_note))}</p>"
    yield '<div class="couples">'
    for pair in page.pairs:
        yield '<div class="pair">'
        for card in (pair.left, pair.right):
            yield f'<div>{frame(card.uri, card.path)}<p>{escape(_said(card.line, say))} <span class="tag">{escape(_said(card.tag, say))}</span></p>{place(card.path)}</div>'
        yield f"<small>{escape(say(_('similarity {value:.3f}', value=pair.similarity)))}</small></div>"
    yield "</div></section>"


def _curve(page: DataPage, say: Translate) -> Iterator[str]:
    if not page.shares:
        return
    yield f"<section><h2>{escape(say(_('Would more images help?')))}</h2>"
    if page.verdict is not None:
        yield f'<p class="verdict">{escape(say(page.verdict))}</p>'
    tips = [
        say(_("{images:,} images: {accuracy:.1%} ({low:.1%} to {high:.1%})", images=s.images, accuracy=s.accuracy, low=s.low, high=s.high))
        for s in page.shares
    ]  # fmt: skip
    curve = Curve(
        "val", [(s.images, 100 * s.accuracy) for s in page.shares], tips, [(s.images, 100 * s.low, 100 * s.high) for s in page.shares]
    )  # fmt: skip
    low, high = 100 * min(s.low for s in page.shares), 100 * max(s.high for s in page.shares)
    title = _("Accuracy on held-out images")
    drawn = chart(
        say(title), [curve], say(_("training images")), "{:.4g} %".format,
        y_range=(max(0.0, low - 0.05 * (high - low)), 100.0 if high > 90 else high),
    )  # fmt: skip
    keys = f'<span class="key val">{escape(say(_("accuracy, 95 % band")))}</span>'
    yield '<div class="growth"><figure>'
    yield f"<figcaption><b>{escape(say(title))}</b>{keys}</figcaption>\n{drawn}</figure>"
    heads = "".join(
        f"<th>{escape(say(head))}</th>" for head in (_("share"), _("training images"), _("accuracy"), _("95 %"))
    )
    yield f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>'
    for s in page.shares:
        yield (
            f"<tr><td>{s.share:.0%}</td><td>{s.images:,}</td><td>{s.accuracy:.1%}</td><td>{s.low:.1%} – {s.high:.1%}</td></tr>"
        )
    yield "</tbody></table></div></div></section>"


def _findings(page: DataPage, say: Translate) -> Iterator[str]:
    heads = "".join(f"<th>{escape(say(head))}</th>" for head in (_("finding"), _("number"), _("what it is")))
    yield f"<section><h2>{escape(say(_('All findings')))}</h2>"
    yield f'<div class="scroll"><table class="kinds"><thead><tr>{heads}</tr></thead><tbody>'
    for group in page.findings:
        lines = [f"{paths}: {_said(note, say)}" if paths else _said(note, say) for paths, note in group.lines]
        if group.more:
            lines.append(say(_("and {n:,} more; --format json lists them", n=group.more)))
        smalls = "".join(f"<small>{escape(line)}</small>" for line in lines)
        look = "" if group.count else ' class="none"'
        yield (
            f"<tr{look}><td>{escape(group.kind)}</td><td>{group.count:,}</td><td>{escape(say(group.about))}{smalls}</td></tr>"
        )
    yield "</tbody></table></div></section>"


def _classes(page: DataPage, say: Translate) -> Iterator[str]:
    heads = "".join(f"<th>{escape(say(head))}</th>" for head in (_("class"), _("train"), _("val")))
    yield f"<section><h2>{escape(say(_('Classes')))}</h2>"
    if page.classes_note is not None:
        yield f"<p>{escape(say(page.classes_note))}</p>"
    yield f'<div class="scroll"><table class="balance"><thead><tr>{heads}</tr></thead><tbody>'
    for name, train, val in page.classes:
        yield f"<tr><td>{escape(name)}</td><td>{train:,}</td><td>{val:,}</td></tr>"
    yield "</tbody></table></div></section>"
