"""Networks for people: tables, words, pictures. Standard library alone; PNG and PDF need plusx[draw]."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plusx.drawing.page import html
    from plusx.drawing.render import draw

__all__ = ["draw", "html"]

_MODULES = {"draw": "plusx.drawing.render", "html": "plusx.drawing.page"}


def __getattr__(name: str) -> Any:
    """Pictures load on first use: a table does not wait for them."""
    if name not in _MODULES:
        raise AttributeError(f"module 'plusx.drawing' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
