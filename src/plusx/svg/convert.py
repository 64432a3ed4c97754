"""SVG to PNG and PDF by vl-convert-python, which uses resvg. Only this module needs a package."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from plusx.errors import MissingExtra, PlusxError
from plusx.i18n import Message, _

if TYPE_CHECKING:
    from types import ModuleType

FORMATS = ("png", "pdf")
SHARP, MOST_PX = 2, 30_000
"""PNG pixels for each pixel of the drawing, and the most along a side."""


def converted(svg: str, form: str) -> bytes:
    """The drawing as PNG (two pixels for one, fewer when it is very tall) or PDF. Raises MissingExtra, PlusxError."""
    converter = _converter(form)
    if form == "pdf":
        return bytes(converter.svg_to_pdf(svg))
    longest = max(map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]))
    if longest > MOST_PX:
        raise PlusxError(
            _(
                "A PNG of {longest:.0f} pixels would be too tall: {most} is the most. Write .svg or .pdf instead.",
                longest=longest, most=MOST_PX,
            )
        )  # fmt: skip
    return bytes(converter.svg_to_png(svg, scale=min(SHARP, MOST_PX / longest)))


@cache
def draws_chinese() -> bool:
    """Whether the converter finds a font with Chinese characters here: a Chinese character is rendered differently from a character that no font has."""
    converter = _converter("png")

    def rendered(character: str) -> bytes:
        text = f'<text x="4" y="30" font-size="24" font-family="sans-serif">{character}</text>'
        return bytes(
            converter.svg_to_png(f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">{text}</svg>')
        )

    return rendered("恒") != rendered("\U000f0fff")


def missing_font(form: str) -> Message:
    """The notice for a drawing that is written in English because no font has Chinese characters."""
    return _(
        "No font with Chinese characters is installed, so the {form} is in English. Install one (Debian: fonts-noto-cjk), or "
        "write .svg or .html.",
        form=form,
    )


def _converter(form: str) -> Any:
    try:
        import vl_convert  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
    except ImportError:
        raise MissingExtra(
            _(
                "{form} needs vl-convert-python, which is not installed. Run pip install 'plusx[draw]', or write .svg or .html.",
                form=form,
            )
        ) from None
    converter: ModuleType = vl_convert
    return converter
