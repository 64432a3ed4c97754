"""`draw`: a network, or two, as SVG text."""

from __future__ import annotations

from dataclasses import replace

from plusx.analysis import analyse
from plusx.analysis.geometry import Size
from plusx.errors import PlusxError, unknown
from plusx.graph import Network
from plusx.i18n import _
from plusx.svg.compare import compared
from plusx.svg.drawing import drawing_of
from plusx.svg.labels import translate_to
from plusx.svg.layout import scene
from plusx.svg.markup import Svg, to_svg
from plusx.svg.scene import Scene
from plusx.svg.theme import theme as theme_of

DETAILS = ("stages", "blocks", "ops")


def draw(
    network: Network, *, detail: str = "blocks", theme: str = "light", diff: Network | None = None, lang: str = "en",
    size_px: int | Size | None = None, fold: bool = True, marks: frozenset[str] = frozenset(),
) -> Svg:  # fmt: skip
    """The network as SVG text, which a notebook shows as the drawing; with `diff` both, side by side, differences marked.

    `detail` is stages, blocks or ops; `theme` light or dark; `lang` en or zh; `size_px` the input's side or (h, w), None
    takes the preset's; `fold=False` draws equal blocks one by one; `marks` are places to highlight (`Drawing.marks`). Same arguments, same text. Raises PlusxError.

    >>> draw("resnet18").startswith("<svg")
    True
    """
    colours = theme_of(theme)
    return to_svg(
        lay_out(network, detail=detail, diff=diff, lang=lang, size_px=size_px, fold=fold, marks=marks), colours
    )


def lay_out(
    network: Network, *, detail: str = "blocks", diff: Network | None = None, lang: str = "en",
    size_px: int | Size | None = None, fold: bool = True, marks: frozenset[str] = frozenset(),
) -> Scene:  # fmt: skip
    """The scene that `draw` writes as SVG: every shape and text with its place. Raises PlusxError."""
    if detail not in DETAILS:
        raise PlusxError(unknown(_("detail"), detail, DETAILS))
    say = translate_to(lang)
    drawings = [drawing_of(analyse(each, size_px), fold=fold) for each in (network, diff) if each is not None]
    if len(drawings) == 2:
        drawings = compared(*drawings)
    elif marks:
        drawings = [replace(drawings[0], marks=marks)]
    return scene(drawings, detail, say)
