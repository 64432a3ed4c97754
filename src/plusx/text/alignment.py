"""Rows of cells as aligned text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width


def terminal_width(text: str) -> int:
    """Columns that a text takes in a terminal: two for a Chinese character.

    >>> terminal_width("3× 层")
    5
    """
    return len(text) if text.isascii() else sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Lines of a pipe table; a pipe in a cell is escaped."""
    rule = ["--:" if is_right else ":--" for is_right in right]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, rule, *rows)]


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str | None]], right: Sequence[bool]) -> list[str]:
    """Lines of a text table: columns as wide as their widest cell, two spaces apart.

    Where a cell is None the one before it runs on over it, and does not widen its own column.
    """
    widths = [terminal_width(head) for head in heads]
    for row in rows:
        for column, cell in enumerate(row):
            if cell is not None and not _runs_on(row, column):
                widths[column] = max(widths[column], terminal_width(cell))
    for row in rows:  # a cell that runs on widens the last column that it covers
        for column, cell in enumerate(row):
            if cell is not None and _runs_on(row, column):
                widths[column + 1] = max(widths[column + 1], terminal_width(cell) - widths[column] - 2)
    return [_line(row, widths, right) for row in (heads, *rows)]


def _runs_on(row: Sequence[str | None], column: int) -> bool:
    return column + 1 < len(row) and row[column + 1] is None


def _line(row: Sequence[str | None], widths: Sequence[int], right: Sequence[bool]) -> str:
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
