"""The curves of a training run: loss, accuracy and learning rate, with axes that outliers do not flatten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from plusx.i18n import Message, _, joined
from plusx.svg.line_chart import Curve, chart, robust_top, thinned
from plusx.svg.markup import escape
from plusx.text.alignment import Translate

MOST_POINTS = 400
MOST_BEYOND = 3
"""Values beyond the axis that are named one by one."""
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
class Curves:
    """What is drawn. x counts epochs, or steps where no epoch has ended (`x_label` says which)."""

    epochs: Sequence[Epoch]
    kept_epoch: int | None
    """The epoch of the weights in the bundle, which the figures belong to."""
    x_label: Message
    losses: Sequence[tuple[float, float]]
    rates: Sequence[tuple[float, float]]
    """x, value of single steps."""


def charts(report: Curves, say: Translate) -> Iterator[str]:
    """The figures of the curves; nothing where there is none yet."""
    if not report.epochs and not report.losses:
        return
    yield '<section class="charts">'
    yield _loss_figure(report, say)
    if report.epochs:
        yield _top1_figure(report, say)
    if report.rates:
        yield _rate_figure(report, say)
    yield "</section>"


def _loss_figure(report: Curves, say: Translate) -> str:
    epochs, kept, losses = report.epochs, _kept(report), thinned(report.losses, MOST_POINTS)
    top = robust_top([*(e.nll for e in epochs), *(e.train_loss for e in epochs), *(y for _x, y in losses)])
    training, validation = _("training"), _("validation")
    curves = [
        Curve("raw", losses),
        _of(epochs, "train", training, lambda e: e.train_loss, "{:.4f}", say),
        _of(epochs, "val", validation, lambda e: e.nll, "{:.4f}", say),
    ]
    ring = (kept.epoch, kept.nll) if kept else None
    single = [("raw", _("single steps"))] if losses else []
    legend = [("train", training), ("val", validation), *single, *_kept_key(kept)]
    drawn = chart(say(_("Loss")), curves, say(report.x_label), "{:g}".format, y_range=(0, top or 1), ring=ring)
    return _figure(_("Loss"), legend, drawn, say, note=_beyond(report, top))


def _top1_figure(report: Curves, say: Translate) -> str:
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


def _rate_figure(report: Curves, say: Translate) -> str:
    rates, title = thinned(report.rates, MOST_POINTS), _("Learning rate")
    y_range = (0, max(y for _x, y in rates) or 1)
    curves = [Curve("rate", rates)]
    drawn = chart(say(title), curves, say(report.x_label), "{:g}".format, y_range=y_range, size=WIDE)
    return _figure(title, (), drawn, say, "wide")


def _kept(report: Curves) -> Epoch | None:
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


def _beyond(report: Curves, top: float) -> Message | None:
    """What the axis of the losses leaves out, in words; None where it has all."""
    sides = ((_("training"), lambda e: e.train_loss), (_("validation"), lambda e: e.nll))
    found: list[Message | str] = [
        _("{name} {value:,.4g} in epoch {epoch}", name=name, value=value(e), epoch=e.epoch)
        for name, value in sides
        for e in report.epochs
        if value(e) > top
    ]
    if len(found) > MOST_BEYOND:
        found = [*found[:MOST_BEYOND], _("{n} more", n=len(found) - MOST_BEYOND)]
    highest = max((y for _x, y in report.losses), default=0.0)
    if highest > 2 * top:  # what is drawn of many steps are means of neighbours, which are a little lower
        found.append(_("single steps up to {value:,.4g}", value=highest))
    return _("Beyond the axis: {values}.", values=joined(", ", found)) if found else None


def _figure(
    title: Message,
    legend: Sequence[tuple[str, Message]],
    drawn: str,
    say: Translate,
    look: str = "",
    note: Message | None = None,
) -> str:
    said = "" if note is None else f"<p class=beyond>{escape(say(note))}</p>"
    keys = "".join(f'<span class="key {role}">{escape(say(text))}</span>' for role, text in legend)
    return f"<figure class='{look}'><figcaption><b>{escape(say(title))}</b>{keys}</figcaption>\n{drawn}{said}</figure>"
