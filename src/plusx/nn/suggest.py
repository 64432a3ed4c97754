"""Which spec weights belong to: the reading itself needs no torch and stands in `plusx.names.shapes`."""

from __future__ import annotations

from plusx.names.shapes import COUNTER, explain, shapes_of, some, suggest

__all__ = ["COUNTER", "explain", "shapes_of", "some", "suggest"]
