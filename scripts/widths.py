"""Writes src/plusx/svg/font_widths.py: advance widths of DejaVu Sans, so that an image's texts can be measured anywhere.

    python scripts/widths.py DejaVuSans.ttf DejaVuSans-Bold.ttf

Run once; needed again only when an image says something with a new character.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import ImageFont

CHARACTERS = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x180)])) + "σ–—‘’“”…·×→≠≤≥⊕⊗−◆"
UNITS = 1000
TARGET = Path(__file__).resolve().parents[1] / "src/plusx/svg/font_widths.py"


def main(regular: str, bold: str) -> None:
    lines = [
        '"""Advance widths of DejaVu Sans in thousandths of the font size. Written by scripts/widths.py; not by hand."""',
        "",
        "# fmt: off",
        f"CHARACTERS = {CHARACTERS!r}",
    ]
    for name, file in (("REGULAR", regular), ("BOLD", bold)):
        font = ImageFont.truetype(file, UNITS, layout_engine=ImageFont.Layout.BASIC)
        lines.append(f"{name}: tuple[int, ...] = (")
        widths = [str(round(font.getlength(character))) for character in CHARACTERS]
        lines += [f"    {', '.join(widths[start : start + 20])}," for start in range(0, len(widths), 20)]
        lines.append(")")
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
