"""A line chart as inline SVG: curves with tooltips, a band, a grid at round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from plusx.svg.markup import escape

SIZE = (470, 250)
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 34
MOST_DOTS = 60
"""Curves with more points have no dots, which keeps the page small and the line readable."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """`points` in order of x, drawn as class `role`; with `tips` (as many) each point is a dot with a tooltip."""

    role: str
    points: Points
    tips: Sequence[str] = ()
    band: Sequence[tuple[float, float, float]] = ()
    """x, low, high of an interval around the points."""


def chart(
    title: str,
    curves: Sequence[Curve],
    x_label: str,
    y_text: Callable[[float], str],
    *,
    y_range: tuple[float, float],
    ring: tuple[float, float] | None = None,
    size: tuple[int, int] = SIZE,
) -> str:
    """The curves over one another. `ring` is a point with a ring around it.

    Lines end at the upper edge of `y_range`; a dot above it is an arrow with its value.
    """
    right, bottom = size[0] - RIGHT, size[1] - BOTTOM
    xs = [x for curve in curves for x, _ in curve.points] or [0.0, 1.0]
    x_range = (min(0.0, *xs), max(xs) if max(xs) > 0 else 1.0)
    y_ticks = ticks(*y_range, about=max(2, size[1] // 50))
    y_low, y_high = min(y_range[0], y_ticks[0]), max(y_range[1], y_ticks[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        inside = min(max(y, y_low), y_high)
        return (
            LEFT + (x - x_range[0]) / (x_range[1] - x_range[0]) * (right - LEFT),
            bottom - (inside - y_low) / (y_high - y_low) * (bottom - TOP),
        )

    lines = [f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img"><title>{escape(title)}</title>']
    for value in y_ticks:
        y = at(0, value)[1]
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        lines.append(f'<text class="e" x="{LEFT - 7}" y="{y + 4:.1f}">{escape(y_text(value))}</text>')
    for value in ticks(*x_range, about=size[0] // 80, whole=True):
        x = at(value, y_low)[0]
        lines.append(f'<path class="axis" d="M{x:.1f} {bottom}v4"/>')
        lines.append(f'<text class="m" x="{x:.1f}" y="{bottom + 16}">{value:,.0f}</text>')
    lines.append(f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>')
    lines.append(f'<text class="e" x="{right}" y="{size[1] - 2}">{escape(x_label)}</text>')
    for curve in curves:
        lines += _curve(curve, at, y_high, right)
    if ring is not None:
        x, y = at(*ring)
        lines.append(f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="6.5"/>')
    return "\n".join([*lines, "</svg>"])


def ticks(low: float, high: float, about: int = 5, whole: bool = False) -> list[float]:
    """Round numbers, about so many, from at most `low` (or above by less than a step) to at most `high`.

    >>> ticks(0, 2.3), ticks(0, 30), ticks(0.71, 0.98), ticks(0, 3, whole=True)
    ([0.0, 0.5, 1.0, 1.5, 2.0], [0, 5, 10, 15, 20, 25, 30], [0.75, 0.8, 0.85, 0.9, 0.95], [0, 1, 2, 3])
    """
    span = high - low
    if not span > 0:
        return [low]
    size = 10.0 ** math.floor(math.log10(span / about))
    step = min((size * by for by in (1, 2, 2.5, 5, 10)), key=lambda step: abs(span / step - about))
    if whole or step >= 1:
        step = max(1, round(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)] or [low]


def thinned(points: Points, most: int) -> list[tuple[float, float]]:
    """At most `most` points: means of neighbours.

    >>> thinned([(1, 4.0), (2, 2.0), (3, 1.0), (4, 3.0)], 2)
    [(1.5, 3.0), (3.5, 2.0)]
    """
    if len(points) <= most:
        return list(points)
    groups = [points[i * len(points) // most : (i + 1) * len(points) // most] for i in range(most)]
    return [(math.fsum(x for x, _ in g) / len(g), math.fsum(y for _, y in g) / len(g)) for g in groups]


def robust_top(values: Sequence[float], share: float = 0.1, gap: float = 2.0, far: float = 3.0) -> float:
    """The upper end of an axis that outliers do not flatten: the largest value that is no outlier.

    Outliers are at most `share` of the values, or one of a few, above a gap: each is more than `gap` times as large as any
    other value, and the largest more than `far` times. A curve that falls smoothly, however far, has no such gap.

    >>> robust_top([900.0, 3.1, 2.6, 2.4, 2.2]), robust_top([2.4, 1.8, 0.9, 0.3, 0.1])
    (3.1, 2.4)
    """
    rising = sorted(values)
    n = len(rising)
    for cut in range(min(max(1, int(share * n)), n - 1), 0, -1):
        low, high = rising[n - cut - 1], rising[n - cut]
        if high > gap * low and rising[-1] > far * low and low > 0:
            return low
    return rising[-1]


def _curve(
    curve: Curve, at: Callable[[float, float], tuple[float, float]], y_high: float, right: float
) -> Iterator[str]:
    if len(curve.band) > 1:
        there = [at(x, low) for x, low, _ in curve.band]
        back = [at(x, high) for x, _, high in reversed(curve.band)]
        yield f'<path class="{curve.role} band" d="M{_joined([*there, *back])}Z"/>'
    places = [at(x, y) for x, y in curve.points]
    pieces = [piece for piece in _below(curve.points, y_high) if len(piece) > 1]
    if pieces:
        drawn = "".join(f"M{_joined([at(x, y) for x, y in piece])}" for piece in pieces)
        yield f'<path class="{curve.role} line" d="{drawn}"/>'
    if not curve.tips or len(places) > MOST_DOTS:
        return
    for (x, y), (_x, value), tip in zip(places, curve.points, curve.tips, strict=True):
        shape = f'<circle class="{curve.role} dot" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'
        if value > y_high:
            side, anchor = (x - 8, ' class="e"') if x > right - 60 else (x + 8, "")
            shape = (
                f'<path class="{curve.role} dot" d="M{x - 5:.1f} {y + 8:.1f}L{x:.1f} {y - 1:.1f}L{x + 5:.1f} {y + 8:.1f}Z"/>'
                f'<text{anchor} x="{side:.1f}" y="{y + 9:.1f}">{value:,.4g}</text>'
            )
        yield (f'<g><title>{escape(tip)}</title>{shape}<circle class="touch" cx="{x:.1f}" cy="{y:.1f}" r="8"/></g>')


def _below(points: Points, top: float) -> Iterator[list[tuple[float, float]]]:
    """The parts of a line that are not above `top`, cut where it crosses.

    >>> list(_below([(1, 12), (2, 4), (3, 2), (4, 6)], 4)), list(_below([(0, 1), (2, 5)], 3))
    ([[(2, 4), (3, 2), (3.5, 4)]], [[(0, 1), (1.0, 3)]])
    """
    piece: list[tuple[float, float]] = []
    before: tuple[float, float] | None = None
    for x, y in points:
        if before is not None and (before[1] > top) != (y > top) and top not in (before[1], y):
            piece.append((before[0] + (top - before[1]) * (x - before[0]) / (y - before[1]), top))
        if y <= top:
            piece.append((x, y))
        elif piece:
            yield piece
            piece = []
        before = (x, y)
    if piece:
        yield piece


def _joined(places: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
