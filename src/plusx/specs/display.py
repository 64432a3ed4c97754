"""How notebooks show a network, an analysis or a comparison.

The rooms that draw lie above the objects that are drawn, so the objects look up their drawings here, and the face of the
package registers who makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

Renderer = Callable[[Any], str]
_RENDERERS: dict[tuple[str, str], Renderer] = {}


def register(kind: str, form: str, renderer: Renderer) -> None:
    """Shows objects of a `display_kind` as a `form`, svg or html, with this function."""
    _RENDERERS[kind, form] = renderer


class Displayed:
    """An object that notebooks show as SVG or HTML, where a renderer is registered for its `display_kind`."""

    __slots__ = ()
    display_kind: ClassVar[str]

    def _repr_svg_(self) -> str | None:
        return _rendered(self, "svg")

    def _repr_html_(self) -> str | None:
        html = _rendered(self, "html")
        return html if html is None else f'<div style="overflow:auto">{html}</div>'


def _rendered(shown: Displayed, form: str) -> str | None:
    renderer = _RENDERERS.get((shown.display_kind, form))
    return renderer(shown) if renderer else None
