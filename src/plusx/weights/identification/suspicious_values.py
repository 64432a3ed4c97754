"""Values that no trained network has: named, never mended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.i18n import Message, _
from plusx.weights.identification.flat_file import FlatFile, number_kind
from plusx.weights.identification.tensor_plan import TensorPlan

MOST_LINES = 40


def suspicious(flat: FlatFile, plan: TensorPlan) -> tuple[Message, ...]:
    """One line a tensor that holds NaN or infinite numbers, a negative variance, or one number alone."""
    floats = ((key, name) for key, name in plan.keys.items() if number_kind(flat.tensors[name]) == "float")
    return _lines((key, name, flat.tensors[name].array()) for key, name in floats)


def suspicious_arrays(tensors: Mapping[str, NDArray[Any]]) -> tuple[Message, ...]:
    """The same of arrays under plusx's names."""
    return _lines((key, key, values) for key, values in tensors.items() if values.dtype.kind == "f")


def _lines(tensors: Iterable[tuple[str, str, NDArray[Any]]]) -> tuple[Message, ...]:
    lines: list[Message] = []
    counted = fresh = 0
    for key, name, values in tensors:
        if values.size == 0:
            continue
        with np.errstate(all="ignore"):  # comparisons with NaN and sums of infinities are what is looked for
            low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
            lines.append(_not_finite(name, nan, infinite, values.size))
        elif key.endswith("running_var") and low < 0:
            lines.append(_("{name} holds negative variances (down to {low:.3g})", name=name, low=low))
        elif low == high and values.size > 1 and _should_vary(key, values.ndim, low):
            lines.append(_("{name} is {low:g} throughout", name=name, low=low))
        if key.endswith(("running_mean", "running_var")):
            counted += 1
            fresh += low == high == (1.0 if key.endswith("var") else 0.0)
    if counted and fresh == counted:
        lines.append(_("all statistics are those of a network that was never trained (mean 0, variance 1)"))
    return tuple(
        lines
        if len(lines) <= MOST_LINES
        else [*lines[:MOST_LINES], _("and {count} more tensors", count=len(lines) - MOST_LINES)]
    )


def _not_finite(name: str, nan: int, infinite: int, size: int) -> Message:
    if nan and infinite:
        return _(
            "{name} holds {nan} NaN and {infinite} infinite of {size} values",
            name=name,
            nan=nan,
            infinite=infinite,
            size=size,
        )
    if nan:
        return _("{name} holds {nan} NaN of {size} values", name=name, nan=nan, size=size)
    return _("{name} holds {infinite} infinite of {size} values", name=name, infinite=infinite, size=size)


def _should_vary(key: str, ndim: int, value: float) -> bool:
    """Kernels and matrices always; of a norm's numbers only its scale, and that only from zero, which ends its branch."""
    return ndim >= 2 or (value == 0 and key.endswith("weight"))
