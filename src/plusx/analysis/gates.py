"""Conditions on a diff, for continuous integration: `macs>+1%`, `params>0`, `field<400`."""

from __future__ import annotations

import re
from operator import ge, gt, le, lt
from typing import NamedTuple

from plusx.analysis.diff import Diff
from plusx.errors import SpecError, unknown

FIGURES = {
    "params": "params", "macs": "macs", "field": "field", "activations": "activation_bytes", "state": "state_bytes", "depth": "depth",
}  # fmt: skip
COMPARE = {">": gt, ">=": ge, "<": lt, "<=": le}
SUFFIX = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


class Gate(NamedTuple):
    """A condition that fails a comparison: a figure's change (signed, or in %) or its new value against a limit."""

    text: str
    figure: str
    compare: str
    limit: float
    relative: bool
    change: bool

    def hit(self, found: Diff) -> str | None:
        """What happened, when the condition is met; else None."""
        before, after = found.figures[FIGURES[self.figure]]
        value = after if not self.change else after - before
        if self.relative:
            value = 100 * (after - before) / before if before else float("inf") * (after > 0)
        if not COMPARE[self.compare](value, self.limit):
            return None
        share = f"{100 * (after - before) / before:+.2f} %" if before else "from nothing"
        return f"{self.figure} went from {before:,} to {after:,} ({share})"


def read_gate(text: str) -> Gate:
    """The condition in a text: FIGURE, > >= < or <=, a number.

    A sign or % makes it the change; without either it is the second network's own value; k, M and G multiply.
    Raises SpecError.

    >>> read_gate("macs>+1%").relative, read_gate("params<=12M").limit
    (True, 12000000.0)
    """
    found = re.fullmatch(r"\s*([A-Za-z_]+)\s*(>=|<=|>|<)\s*([+-]?)(\d+(?:\.\d+)?)\s*([kMG]?)\s*(%?)\s*", text)
    if not found:
        raise SpecError(f"condition {text!r} cannot be read; write one like macs>+1%, params>0 or field<400")
    figure, compare, sign, number, suffix, percent = found.groups()
    if figure not in FIGURES:
        raise SpecError(unknown("figure", figure, FIGURES))
    limit = float(number) * SUFFIX[suffix] * (-1 if sign == "-" else 1)
    return Gate(text.strip(), figure, compare, limit, bool(percent), bool(sign or percent))
