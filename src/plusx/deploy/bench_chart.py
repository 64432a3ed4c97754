"""The figures of `plusx bench` as an image: throughput, latency, start and memory, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from plusx.deploy.benching import BenchRow
from plusx.i18n import Message, _, joined, translate
from plusx.svg.fonts import FAMILY, text_width, wrapped
from plusx.svg.markup import escape
from plusx.svg.theme import LIGHT

_MARGIN, _GAP, _ROW, _BAR, _PANEL = 24, 28, 30, 16, 150
_TITLE, _TEXT, _SMALL = 14, 12, 10.5


@dataclass(frozen=True)
class Panel:
    """One figure of every row: the bar is `value`, the whisker goes from `low` to `high`."""

    title: Message
    hint: Message
    value: Callable[[BenchRow], float]
    low: Callable[[BenchRow], float] | None = None
    high: Callable[[BenchRow], float] | None = None


PANELS = (
    Panel(
        _("images/s"), _("more is better; whisker: all rounds"), lambda row: row.images_per_s,
        lambda row: min(row.rounds), lambda row: max(row.rounds),
    ),
    Panel(
        _("ms for one image"), _("less is better; bar: p50, whisker: p99"), lambda row: row.p50_ms,
        lambda row: row.p50_ms, lambda row: row.p99_ms,
    ),
    Panel(_("s to a cold start"), _("less is better"), lambda row: row.start_s),
    Panel(_("MB at peak"), _("less is better"), lambda row: row.peak_mb),
)  # fmt: skip


def svg(rows: Sequence[BenchRow], network: str, about: str, lang: str = "en") -> str:
    """A standalone SVG: a column for each figure, a bar for each row, the bundle's own first and in colour."""
    names = max(text_width(row.name, _TEXT, bold=True) for row in rows) + 12
    ends = [max(text_width(_figure(panel, row), _TEXT) for row in rows) + 10 for panel in PANELS]
    width = 2 * _MARGIN + names + sum(_PANEL + end for end in ends) + _GAP * (len(PANELS) - 1)
    top = _MARGIN + _TITLE + 40
    foot = wrapped(translate(about, lang), _SMALL, width - 2 * _MARGIN)
    height = top + _ROW * len(rows) + 16 + 15 * len(foot) + _MARGIN - 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(translate(_described(rows, network), lang))}</title>",
        f"<style>text{{font-family:{FAMILY};fill:{LIGHT.ink};font-size:{_TEXT}px}}.muted{{fill:{LIGHT.muted};font-size:{_SMALL}px}}.b{{font-weight:700}}.e{{text-anchor:end}}"
        f".ours{{fill:{LIGHT.projection}}}.other{{fill:{LIGHT.norm}}}.whisker{{stroke:{LIGHT.ink};fill:none}}.axis{{stroke:{LIGHT.muted}}}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="{LIGHT.page}"/>',
        f'<text class="b" x="{_MARGIN}" y="{_MARGIN + _TITLE - 4}" style="font-size:{_TITLE}px">{escape(translate(network, lang))}</text>',
    ]
    for i, row in enumerate(rows):
        parts.append(
            f'<text class="{"b e" if not i else "e"}" x="{_MARGIN + names - 8:.1f}" y="{top + _ROW * i + _BAR - 3}">{escape(row.name)}</text>'
        )
    x = _MARGIN + names
    for panel, end in zip(PANELS, ends, strict=True):
        parts += _panel(panel, rows, x, top, lang)
        x += _PANEL + end + _GAP
    y = top + _ROW * len(rows) + 20
    parts += [
        f'<text class="muted" x="{_MARGIN}" y="{y + 15 * i}">{escape(text)}</text>' for i, text in enumerate(foot)
    ]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, rows: Sequence[BenchRow], x: float, top: float, lang: str) -> Iterator[str]:
    most = max(panel.high(row) if panel.high else panel.value(row) for row in rows) or 1.0
    yield f'<text class="b" x="{x:.1f}" y="{top - 24}">{escape(translate(panel.title, lang))}</text>'
    yield f'<text class="muted" x="{x:.1f}" y="{top - 10}">{escape(translate(panel.hint, lang))}</text>'
    for i, row in enumerate(rows):
        y, long = top + _ROW * i, _PANEL * panel.value(row) / most
        yield f'<rect class="{"ours" if not i else "other"}" x="{x:.1f}" y="{y}" width="{max(long, 1):.1f}" height="{_BAR}" rx="2"/>'
        tip = long
        if panel.low and panel.high:
            low, tip = (_PANEL * of(row) / most for of in (panel.low, panel.high))
            middle = y + _BAR / 2
            yield f'<path class="whisker" d="M{x + low:.1f} {middle}H{x + tip:.1f}M{x + tip:.1f} {middle - 4}v8M{x + low:.1f} {middle - 4}v8"/>'
        yield f'<text x="{x + max(long, tip) + 6:.1f}" y="{y + _BAR - 3}">{_figure(panel, row)}</text>'
    yield f'<path class="axis" d="M{x:.1f} {top - 4}V{top + _ROW * len(rows) - 8}"/>'


def _figure(panel: Panel, row: BenchRow) -> str:
    return figure(panel.value(row))


def figure(value: float) -> str:
    """Three digits or so, whatever the size of the network.

    >>> figure(76430.2), figure(297.6), figure(46.31), figure(0.143)
    ('76,430', '298', '46.3', '0.14')
    """
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _described(rows: Sequence[BenchRow], network: str) -> Message:
    """The image in words, for screen readers."""
    figures = [
        _("{name} {rate:.1f} images/s, {ms:.1f} ms", name=row.name, rate=row.images_per_s, ms=row.p50_ms)
        for row in rows
    ]
    return _("{network}: {figures}", network=network, figures=joined("; ", figures))
