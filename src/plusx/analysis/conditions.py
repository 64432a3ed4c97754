"""Conditions on a diff, for continuous integration: `macs>+1%`, `params>0`, `field<400`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import ge, gt, le, lt
from typing import NamedTuple

from plusx.analysis.diff import Diff
from plusx.errors import GateError, SpecError, unknown
from plusx.i18n import Message, _

FIGURES = {
    "params": "params", "macs": "macs", "field": "field", "activations": "activation_bytes", "state": "state_bytes", "depth": "depth",
}  # fmt: skip
COMPARE = {">": gt, ">=": ge, "<": lt, "<=": le}
SUFFIX = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


class Condition(NamedTuple):
    """A condition under which a comparison fails: the change of a figure (signed, or in %) or its new value against a limit."""

    text: str
    figure: str
    compare: str
    limit: float
    relative: bool
    change: bool

    def hit(self, found: Diff) -> Message | None:
        """How the figure changed, if the condition holds; else None."""
        before, after = found.figures[FIGURES[self.figure]]
        value = after if not self.change else after - before
        if self.relative:
            value = 100 * (after - before) / before if before else float("inf") * (after > 0)
        if not COMPARE[self.compare](value, self.limit):
            return None
        share = f"{100 * (after - before) / before:+.2f} %" if before else _("from zero")
        return _(
            "{figure} went from {before:,} to {after:,} ({share})",
            figure=self.figure,
            before=before,
            after=after,
            share=share,
        )


def read_condition(text: str) -> Condition:
    """The condition in a text: FIGURE, > >= < or <=, a number.

    A sign or % makes it the change; without either it is the second network's own value; k, M and G multiply.
    Raises SpecError.

    >>> read_condition("macs>+1%").relative, read_condition("params<=12M").limit
    (True, 12000000.0)
    """
    found = re.fullmatch(r"\s*([A-Za-z_]+)\s*(>=|<=|>|<)\s*([+-]?)(\d+(?:\.\d+)?)\s*([kMG]?)\s*(%?)\s*", text)
    if not found:
        raise SpecError(
            _("Condition {text!r} cannot be read. Write one like macs>+1%, params>0 or field<400.", text=text)
        )
    figure, compare, sign, number, suffix, percent = found.groups()
    if figure not in FIGURES:
        raise SpecError(unknown(_("figure"), figure, FIGURES))
    limit = float(number) * SUFFIX[suffix] * (-1 if sign == "-" else 1)
    return Condition(text.strip(), figure, compare, limit, bool(percent), bool(sign or percent))


def check(found: Diff, conditions: Sequence[Condition]) -> None:
    """Raises GateError for the first condition that holds."""
    for condition in conditions:
        change = condition.hit(found)
        if change:
            raise GateError(
                _(
                    "{change}, which --fail-if {text!r} forbids. Change the network or the condition.",
                    change=change,
                    text=condition.text,
                )
            )
