"""The chart of a learning-rate range test: a standalone SVG, light or dark as the reader's system asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plusx.i18n import Message, _
from plusx.svg.fonts import FAMILY
from plusx.svg.line_chart import Curve, chart
from plusx.svg.markup import escape
from plusx.svg.theme import DARK, LIGHT, Theme
from plusx.text.alignment import Translate

SIZE = (640, 340)
ABOVE_START = 1.5
"""The chart ends at so many times the first loss; what is above runs along its edge."""


def lr_chart(
    title: Message,
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggested: float | None,
    translate: Translate,
) -> str:
    """The loss of each step and its smoothed line over the power of ten of the rate, with a ring at the suggested one."""
    powers = [math.log10(rate) for rate in rates]
    high = ABOVE_START * smoothed[0]
    ring = None
    if suggested is not None:
        near = min(range(len(rates)), key=lambda step: abs(powers[step] - math.log10(suggested)))
        ring = (powers[near], smoothed[near])
    drawn = chart(
        translate(title),
        [Curve("raw", [*zip(powers, losses, strict=True)]), Curve("val", [*zip(powers, smoothed, strict=True)])],
        translate(_("learning rate, as a power of ten")),
        lambda value: f"{value:.3g}",
        y_range=(min(*losses, *smoothed), high),
        ring=ring,
        size=SIZE,
    )
    body = drawn.partition("</title>")[2].rpartition("</svg>")[0]
    wide, tall = SIZE[0], SIZE[1] + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall}" viewBox="0 -24 {wide} {tall}" role="img">'
        f"<title>{escape(translate(title))}</title><style>{_style()}</style>"
        f'<rect class="page" y="-24" width="{wide}" height="{tall}"/>'
        f'<text x="12" y="-8">{escape(translate(title))}</text>{body}</svg>\n'
    )


def _style() -> str:
    def colours(theme: Theme) -> str:
        return (
            f".page{{fill:{theme.page}}}text{{fill:{theme.ink}}}.grid{{stroke:{theme.plain[1]}55}}.axis{{stroke:{theme.muted}}}"
            f".val{{stroke:{theme.projection}}}.raw{{stroke:{theme.mark}}}.ring{{stroke:{theme.ink}}}"
        )

    return (
        f"text{{font:11px {FAMILY}}}.e{{text-anchor:end}}.m{{text-anchor:middle}}path,.ring{{fill:none}}.line{{stroke-width:2;"
        "stroke-linejoin:round}.raw.line{stroke-width:1;opacity:.5}.ring{stroke-width:1.6}"
        f"{colours(LIGHT)}@media(prefers-color-scheme:dark){{{colours(DARK)}}}"
    )
