"""What `plusx bench` measured as an image: throughput, the wait for one image, start and memory, beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from plusx.deploy.benching import Line
from plusx.svg.fonts import FAMILY, text_width, wrapped
from plusx.svg.markup import escape
from plusx.svg.theme import LIGHT

_MARGIN, _GAP, _ROW, _BAR, _PANEL = 24, 28, 30, 16, 150
_TITLE, _TEXT, _SMALL = 14, 12, 10.5


@dataclass(frozen=True)
class Panel:
    """One figure of every line: the bar is `value`, the whisker goes from `low` to `high`."""

    title: str
    hint: str
    value: Callable[[Line], float]
    low: Callable[[Line], float] | None = None
    high: Callable[[Line], float] | None = None


PANELS = (
    Panel(
        "images/s", "more is better; whisker: all rounds", lambda line: line.images_per_s,
        lambda line: min(line.rounds), lambda line: max(line.rounds),
    ),
    Panel(
        "ms for one image", "less is better; bar p50, whisker p99", lambda line: line.p50_ms,
        lambda line: line.p50_ms, lambda line: line.p99_ms,
    ),
    Panel("s, cold start", "less is better", lambda line: line.start_s),
    Panel("MB at most", "less is better", lambda line: line.peak_mb),
)  # fmt: skip


def svg(lines: Sequence[Line], network: str, about: str) -> str:
    """A standalone SVG: a row a line, the bundle's own first and in colour; a column a figure, each from zero."""
    names = max(text_width(line.name, _TEXT, bold=True) for line in lines) + 12
    ends = [max(text_width(_figure(panel, line), _TEXT) for line in lines) + 10 for panel in PANELS]
    width = 2 * _MARGIN + names + sum(_PANEL + end for end in ends) + _GAP * (len(PANELS) - 1)
    top = _MARGIN + _TITLE + 40
    foot = wrapped(about, _SMALL, width - 2 * _MARGIN)
    height = top + _ROW * len(lines) + 16 + 15 * len(foot) + _MARGIN - 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(_said(lines, network))}</title>",
        f"<style>text{{font-family:{FAMILY};fill:{LIGHT.ink};font-size:{_TEXT}px}}.muted{{fill:{LIGHT.muted};font-size:{_SMALL}px}}.b{{font-weight:700}}.e{{text-anchor:end}}"
        f".ours{{fill:{LIGHT.projection}}}.other{{fill:{LIGHT.norm}}}.whisker{{stroke:{LIGHT.ink};fill:none}}.axis{{stroke:{LIGHT.muted}}}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="{LIGHT.page}"/>',
        f'<text class="b" x="{_MARGIN}" y="{_MARGIN + _TITLE - 4}" style="font-size:{_TITLE}px">{escape(network)}</text>',
    ]
    for i, line in enumerate(lines):
        parts.append(
            f'<text class="{"b e" if not i else "e"}" x="{_MARGIN + names - 8:.1f}" y="{top + _ROW * i + _BAR - 3}">{escape(line.name)}</text>'
        )
    x = _MARGIN + names
    for panel, end in zip(PANELS, ends, strict=True):
        parts += _panel(panel, lines, x, top)
        x += _PANEL + end + _GAP
    y = top + _ROW * len(lines) + 20
    parts += [
        f'<text class="muted" x="{_MARGIN}" y="{y + 15 * i}">{escape(text)}</text>' for i, text in enumerate(foot)
    ]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, lines: Sequence[Line], x: float, top: float) -> Iterator[str]:
    most = max(panel.high(line) if panel.high else panel.value(line) for line in lines) or 1.0
    yield f'<text class="b" x="{x:.1f}" y="{top - 24}">{escape(panel.title)}</text>'
    yield f'<text class="muted" x="{x:.1f}" y="{top - 10}">{escape(panel.hint)}</text>'
    for i, line in enumerate(lines):
        y, long = top + _ROW * i, _PANEL * panel.value(line) / most
        yield f'<rect class="{"ours" if not i else "other"}" x="{x:.1f}" y="{y}" width="{max(long, 1):.1f}" height="{_BAR}" rx="2"/>'
        tip = long
        if panel.low and panel.high:
            low, tip = (_PANEL * of(line) / most for of in (panel.low, panel.high))
            middle = y + _BAR / 2
            yield f'<path class="whisker" d="M{x + low:.1f} {middle}H{x + tip:.1f}M{x + tip:.1f} {middle - 4}v8M{x + low:.1f} {middle - 4}v8"/>'
        yield f'<text x="{x + max(long, tip) + 6:.1f}" y="{y + _BAR - 3}">{_figure(panel, line)}</text>'
    yield f'<path class="axis" d="M{x:.1f} {top - 4}V{top + _ROW * len(lines) - 8}"/>'


def _figure(panel: Panel, line: Line) -> str:
    return figure(panel.value(line))


def figure(value: float) -> str:
    """Three digits or so, whatever the size of the network.

    >>> figure(76430.2), figure(297.6), figure(46.31), figure(0.143)
    ('76,430', '298', '46.3', '0.14')
    """
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _said(lines: Sequence[Line], network: str) -> str:
    """The image in words, for those who hear it."""
    figures = "; ".join(f"{line.name} {line.images_per_s:.1f} images/s, {line.p50_ms:.1f} ms" for line in lines)
    return f"{network}: {figures}"
