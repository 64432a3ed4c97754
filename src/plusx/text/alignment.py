"""Rows of cells as aligned text, as Markdown and as HTML; paragraphs that fit a width."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple

from plusx.i18n import Message, _, joined, visible

Translate = Callable[[str], str]
Row = Sequence[str | None]
LEAST_WRAPPED, LEAST_CRAMPED = 20, 8
"""Terminal columns that a wrapped column keeps while other columns can be hidden, and when none is left to hide."""
_BREAKS = re.compile(
    r"\s+(?!(?:%|px|G)(?!\w))|(?<=[\u3000-\u9fff\uff00-\uffef])(?<!（)(?![\s，。；：、）？！])|(?<![\s（])(?=[\u4e00-\u9fff])"
)
"""Where a line may end: at spaces (not between a number and its unit), and around a Chinese character, but not in front of punctuation that closes."""


def terminal_width(text: str) -> int:
    """Columns that a text takes in a terminal: two for a Chinese character.

    >>> terminal_width("3× 层")
    5
    """
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # only where there are other characters: the import takes longer than a table

    return max(0, wcswidth(text))


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Lines of a pipe table; a pipe in a cell is escaped."""
    rule = ["--:" if is_right else ":--" for is_right in right]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, rule, *rows)]


def html_table(heads: Sequence[str], rows: Sequence[Row], right: Sequence[bool]) -> str:
    """The table as HTML for a notebook; a cell before None spans both."""
    sides = ["text-align:right" if is_right else "text-align:left" for is_right in right]
    first = [f'<th style="{side}">{escape(head)}</th>' for head, side in zip(heads, sides, strict=True)]
    lines = [f"<tr>{''.join(first)}</tr>"]
    for row in rows:
        cells: list[str] = []
        for column, cell in enumerate(row):
            if cell is not None:
                span = ' colspan="2"' if _runs_on(row, column) else ""
                cells.append(f'<td{span} style="{sides[column]};white-space:pre-wrap">{escape(cell)}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


class Fitted(NamedTuple):
    """The lines of a table, and the columns that a narrow terminal has no room for."""

    lines: list[str]
    hidden: list[int]


def aligned(heads: Sequence[str], rows: Sequence[Row], right: Sequence[bool]) -> list[str]:
    """Lines of a text table: columns as wide as their widest cell, two spaces apart.

    Where a cell is None the one before it runs on over it, and does not widen its own column.
    """
    heads, rows = _visible(heads, rows)
    widths = _widths(heads, rows)
    return [_line(row, widths, right) for row in (heads, *rows)]


def fitted(
    heads: Sequence[str], rows: Sequence[Row], right: Sequence[bool], width: int | None, *,
    drop: Sequence[int] = (), wrap: Sequence[int] = (),
) -> Fitted:  # fmt: skip
    """The table in lines no wider than `width`: columns in `wrap` are wrapped at words, those in `drop` hidden, both in
    order.

    A table that does not fit even so keeps its words whole. Without a width the table is whole.
    """
    if width is None:
        return Fitted(aligned(heads, rows, right), [])
    heads, rows = _visible(heads, rows)
    wraps = [wrap[: n + 1] for n in range(len(wrap))] or [()]
    attempts = [(hidden, LEAST_WRAPPED, some) for hidden in range(len(drop) + 1) for some in wraps]
    for hidden, least, some in [*attempts, (len(drop), LEAST_CRAMPED, wrap)]:
        kept = [column for column in range(len(heads)) if column not in drop[:hidden]]
        shown, cells = [heads[column] for column in kept], [[row[column] for column in kept] for row in rows]
        wrapping = {kept.index(column): least for column in some if column in kept}
        widths = _wrapped_widths(shown, cells, wrapping, width)
        if widths is None and least == LEAST_CRAMPED:
            widths = _widths(shown, cells, wrapping)
        if widths is not None:
            sides = [right[column] for column in kept]
            lines = [_line(line, widths, sides) for row in (shown, *cells) for line in _lines_of(row, widths)]
            return Fitted(lines, [*drop[:hidden]])
    raise AssertionError("the last attempt takes any width")


def _visible(heads: Sequence[str], rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """The cells with what is no writing escaped: names of classes, files and tensors may stand in them."""
    return [*map(visible, heads)], [[None if cell is None else visible(cell) for cell in row] for row in rows]


def hidden_note(heads: Sequence[str], hidden: Sequence[int]) -> list[Message]:
    """The note that names hidden columns; none where all are shown."""
    if not hidden:
        return []
    names = joined(", ", [heads[column] for column in hidden])
    return [_("Columns that do not fit this width: {columns}.", columns=names)]


def paragraph(text: str, width: int | None, indent: str = "", first: str | None = None) -> list[str]:
    """The text in lines no wider than `width`, broken at words; `first` stands before the first line in place of `indent`.

    >>> paragraph("one two three", 9, "  ", "- ")
    ['- one two', '  three']
    """
    start, text = indent if first is None else first, visible(text)
    if width is None:
        return [start + text]
    lines = wrapped(text, max(1, width - terminal_width(indent)))
    return [(indent if number else start) + line for number, line in enumerate(lines)]


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines no wider than `width`, except where a single word is wider.

    >>> wrapped("1x1 c64, 3x3 c64", 10), wrapped("感受野，步长", 8)
    (['1x1 c64,', '3x3 c64'], ['感受野，', '步长'])
    """
    if terminal_width(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip())]
    lines: list[str] = []
    for gap, word in _words(text.strip()):
        if lines and terminal_width(lines[-1] + gap + word) <= width:
            lines[-1] += gap + word
        else:
            lines.append(indent + word)
    return lines


def _words(text: str) -> Iterator[tuple[str, str]]:
    """(space before it, word): pieces that no line may break."""
    at, gap = 0, ""
    for found in _BREAKS.finditer(text):
        if found.start() > at:
            yield gap, text[at : found.start()]
            gap = ""
        gap, at = found.group() or gap, found.end()
    yield gap, text[at:]


def _widths(heads: Sequence[str], rows: Sequence[Row], narrow: Mapping[int, int] = MappingProxyType({})) -> list[int]:
    """The width of each column; for those in `narrow` the given width, or that of the widest word if it is larger."""

    def needed(text: str, column: int) -> int:
        whole = terminal_width(text)
        if column not in narrow or whole <= narrow[column]:
            return whole
        indent = len(text) - len(text.lstrip())
        return max(narrow[column], indent + max(terminal_width(word) for _, word in _words(text.strip())))

    widths = [needed(head, column) for column, head in enumerate(heads)]
    for row in rows:
        for column, cell in enumerate(row):
            if cell is not None and not _runs_on(row, column):
                widths[column] = max(widths[column], needed(cell, column))
    if narrow:
        return widths
    for row in rows:  # a cell that runs on widens the last column that it covers
        for column, cell in enumerate(row):
            if cell is not None and _runs_on(row, column):
                widths[column + 1] = max(widths[column + 1], terminal_width(cell) - widths[column] - 2)
    return widths


def _wrapped_widths(heads: Sequence[str], rows: Sequence[Row], wrap: Mapping[int, int], width: int) -> list[int] | None:
    """The widths of the columns so that a line fits; None where it cannot."""
    full = _widths(heads, rows)
    room = width - 2 * (len(heads) - 1)
    if sum(full) <= room:
        return full
    widths = _widths(heads, rows, wrap)
    if sum(widths) > room:
        return None
    left, wanted = room - sum(widths), {column: full[column] - widths[column] for column in wrap}
    for column, more in wanted.items():  # each wrapped column gets its share of the room that is left
        widths[column] += min(more, left * more // max(1, sum(wanted.values())))
    return widths


def _lines_of(row: Row, widths: Sequence[int]) -> Iterator[list[str | None]]:
    """The lines that a row takes when its cells are wrapped."""
    cells: list[list[str] | None] = []
    for column, cell in enumerate(row):
        if cell is None:
            cells.append(None)
        else:
            over = 2 + widths[column + 1] if _runs_on(row, column) else 0
            cells.append(wrapped(cell, widths[column] + over))
    for pieces in zip_longest(*(cell for cell in cells if cell is not None), fillvalue=""):
        rest = iter(pieces)
        yield [None if cell is None else next(rest) for cell in cells]


def _runs_on(row: Row, column: int) -> bool:
    return column + 1 < len(row) and row[column + 1] is None


def _line(row: Row, widths: Sequence[int], right: Sequence[bool]) -> str:
    padded: list[str] = []
    for column, cell in enumerate(row):
        if cell is None:
            continue
        width = widths[column]
        if _runs_on(row, column):
            width += 2 + widths[column + 1]
        gap = " " * (width - terminal_width(cell))
        padded.append(gap + cell if right[column] else cell + gap)
    return "  ".join(padded).rstrip()
