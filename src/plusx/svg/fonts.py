"""The width of a text, from a table in the package: the layout needs no installed font.

The table is of DejaVu Sans, among the widest of the sans-serif fonts a reader may have: what fits in it fits in Arial too.
"""

from __future__ import annotations

from unicodedata import east_asian_width

from plusx.svg.font_widths import BOLD, CHARACTERS, REGULAR

FAMILY = (
    "'DejaVu Sans',Verdana,'Noto Sans','Noto Sans CJK SC','Noto Sans SC','Noto Sans CJK JP','PingFang SC',"
    "'Microsoft YaHei','WenQuanYi Micro Hei',sans-serif"
)
ASCENT, DESCENT = 0.76, 0.24
"""Above and below the baseline, in font sizes: caps and brackets of Latin, the full square of CJK."""

_WIDTHS: tuple[dict[str, int], dict[str, int]] = (
    dict(zip(CHARACTERS, REGULAR, strict=True)),
    dict(zip(CHARACTERS, BOLD, strict=True)),
)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in pixels of a line of text at a font size; a full-width character takes one em, an unknown one too.

    >>> text_width("Conv", 10), text_width("残差", 10)
    (25.36, 20.0)
    """
    table = _WIDTHS[bold]
    thousandths = sum(table.get(character, 1000) for character in text)
    return thousandths * size / 1000


def is_cjk(text: str) -> bool:
    """Whether a text needs a font with Chinese characters.

    >>> is_cjk("恒等"), is_cjk("F(x)·x")
    (True, False)
    """
    return any(east_asian_width(character) in "WF" for character in text)


def wrapped(text: str, size: float, width: float, bold: bool = False) -> list[str]:
    """The text in lines no wider than `width`, broken at spaces; a word that is too wide is shortened with an ellipsis.

    >>> wrapped("resnet50 stem=deep", 10, 60)
    ['resnet50', 'stem=deep']
    """
    lines: list[str] = []
    for word in text.split():
        word = shortened(word, size, width, bold)
        if lines and text_width(f"{lines[-1]} {word}", size, bold) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


def shortened(text: str, size: float, width: float, bold: bool = False) -> str:
    """The text, or as much of it as `width` holds with an ellipsis behind it.

    >>> shortened("multi_grid=1,2,4,8", 10, 60)
    'multi_gri…'
    """
    if text_width(text, size, bold) <= width:
        return text
    left, kept = width - text_width("…", size, bold), 0
    for character in text:
        left -= text_width(character, size, bold)
        if left < 0:
            break
        kept += 1
    return f"{text[:kept]}…"
