"""The range of every numeric option, in one table: the parser checks it, and --help states it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from plusx.i18n import Message, _
from plusx.settings import MAX_SEED, MAX_THREADS

MANY = 1_000_000
"""The largest count, as in the languages of networks and recipes. As minutes it is two years, as seconds eleven days."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `open_low` and `open_high` leave out the ends. `whole`: whole numbers alone."""

    low: float
    high: float
    whole: bool = True
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        return (self.low < value if self.open_low else self.low <= value) and (
            value < self.high if self.open_high else value <= self.high
        )

    @property
    def text(self) -> Message:
        """The range in words, as --help and errors say it."""
        low, high = (int(end) if float(end).is_integer() else end for end in (self.low, self.high))
        if self.open_low and self.open_high:
            return _("above {low} and below {high}", low=low, high=high)
        if self.open_low:
            return _("above {low}, up to {high}", low=low, high=high)
        if self.open_high:
            return _("from {low} to below {high}", low=low, high=high)
        return _("from {low} to {high}", low=low, high=high)

    @property
    def takes(self) -> Message:
        """What an option with this range takes."""
        if self.whole:
            return _("a whole number {range}", range=self.text)
        return _("a finite number {range}", range=self.text)

    def read(self, text: str) -> int | float | None:
        """The number that `text` is, None where it is none or outside the range."""
        if self.whole:
            value = whole_number(text, MAX_SEED)
        else:
            try:
                value = float(text)
            except ValueError:
                return None
        return value if value is not None and math.isfinite(value) and self.holds(value) else None


_SHARE = Range(0, 1, whole=False)
_TIME = Range(0, MANY, whole=False, open_low=True)

RANGES: dict[str, Range] = {
    "--accept-drop": Range(0, 1, whole=False, open_high=True),
    "--batch": Range(1, MANY),
    "--checkpoint-seconds": _TIME,
    "--epochs": Range(1, MANY),
    "--images": Range(1, MANY),
    "--lr": Range(0, MANY, whole=False, open_low=True),
    "--max-mb": Range(1, 4096),
    "--max-mpx": Range(1, 1000),
    "--minutes": _TIME,
    "--port": Range(0, 65_535),
    "--queue": Range(1, MANY),
    "--part-rows": Range(1, MANY),
    "--rounds": Range(1, 1000),
    "--seconds": Range(0, 3600, whole=False, open_low=True),
    "--seed": Range(0, MAX_SEED),
    "--size": Range(1, MANY),
    "--threads": Range(1, MAX_THREADS),
    "--threshold": _SHARE,
    "--timeout": Range(0, 3600, whole=False, open_low=True),
    "--tiny-px": Range(0, MANY),
    "--tolerance": _SHARE,
    "--top": Range(1, MANY),
    "--val-split": Range(0, 1, whole=False, open_low=True, open_high=True),
    "--workers": Range(0, MAX_THREADS),
}
"""One option has one range in all commands. tests/cli/test_ranges.py finds an option that is missing here."""


def whole_number(text: str, most: int = MANY) -> int | None:
    """The whole number that `text` is in ASCII digits, None where it is none or its size is above `most`.

    `str.isdigit` holds for ², and `int` refuses thousands of digits.

    >>> whole_number("12"), whole_number("-3"), whole_number("²"), whole_number("1" * 5000)
    (12, -3, None, None)
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        return None
    value = int(text)
    return value if abs(value) <= most else None
