"""The colours. Hues are Okabe and Ito's (2008), told apart by readers with any colour vision; each role has
a shape or a dash of its own besides."""

from __future__ import annotations

from typing import NamedTuple

from plusx.errors import PlusxError, unknown
from plusx.i18n import _
from plusx.svg.fonts import FAMILY


class Theme(NamedTuple):
    """(fill, stroke) of each role; `ink` and `muted` are text."""

    page: str
    ink: str
    muted: str
    line: str
    stage: tuple[str, str]
    block: tuple[str, str]
    conv: tuple[str, str]
    down: tuple[str, str]
    pool: tuple[str, str]
    gate: tuple[str, str]
    linear: tuple[str, str]
    plain: tuple[str, str]
    norm: str
    act: str
    drop: str
    projection: str
    zeros: str
    pooled: str
    mark: str


LIGHT = Theme(
    page="#ffffff", ink="#1c2127", muted="#5c6773", line="#3a424c",
    stage=("#eef6f0", "#8fbfa3"), block=("#fffaeb", "#d8bd74"), conv=("#d9ebf7", "#5a9cc5"), down=("#ebc9dc", "#a8487f"),
    pool=("#fbdca4", "#c98500"), gate=("#f5ee9e", "#9c9100"), linear=("#cfe0d9", "#4c8a74"), plain=("#eceff2", "#9aa5b1"),
    norm="#9aa5b1", act="#009e73", drop="#e69f00", projection="#0072b2", zeros="#00805d", pooled="#a8487f", mark="#d55e00",
)  # fmt: skip
DARK = Theme(
    page="#14181d", ink="#e8ebee", muted="#9ba7b4", line="#b6c0ca",
    stage=("#18241d", "#3f6b52"), block=("#242118", "#7a6833"), conv=("#1d3a50", "#56a4d4"), down=("#4e2440", "#dc8fbb"),
    pool=("#4d3609", "#e69f00"), gate=("#44400e", "#cfc43c"), linear=("#1d3d33", "#59b394"), plain=("#2a3138", "#6b7681"),
    norm="#7d8894", act="#1fbf91", drop="#e69f00", projection="#56b4e9", zeros="#1fbf91", pooled="#dc8fbb", mark="#ff8a3d",
)  # fmt: skip
THEMES = {"light": LIGHT, "dark": DARK}


def theme(name: str) -> Theme:
    """The theme of a name. Raises PlusxError with the nearest."""
    if name not in THEMES:
        raise PlusxError(unknown(_("theme"), name, THEMES))
    return THEMES[name]


def style_sheet(theme: Theme) -> str:
    """The theme as CSS for the classes that `svg` writes."""
    filled = {
        "stage": theme.stage, "block": theme.block, "conv": theme.conv, "down": theme.down, "pool": theme.pool,
        "pooldown": theme.pool, "gate": theme.gate, "linear": theme.linear, "zeropad": theme.plain, "io": theme.plain,
    }  # fmt: skip
    rules = [f".{name}{{fill:{fill};stroke:{stroke}}}" for name, (fill, stroke) in filled.items()]
    solid = {"norm": theme.norm, "act": theme.act, "drop": theme.drop, "dot": theme.line}
    rules += [f".{name}{{fill:{colour};stroke:none}}" for name, colour in solid.items()]
    slim = {
        "normbar": (theme.plain[0], theme.norm),
        "actbar": (theme.linear[0], theme.act),
        "dropbar": (theme.pool[0], theme.drop),
    }
    rules += [f".{name}{{fill:{fill};stroke:{stroke};stroke-width:.8}}" for name, (fill, stroke) in slim.items()]
    curves = {
        "wire": (theme.line, 1.2, ""), "identity": (theme.line, 1.5, ""), "projection": (theme.projection, 2.4, ""),
        "zeros": (theme.zeros, 2, "6 3"), "pooled": (theme.pooled, 2.4, "7 3 1.5 3"), "size": (theme.muted, 1, ""),
        "cutline": (theme.mark, 1.5, "5 4"), "halo": (theme.mark, 7, ""),
    }  # fmt: skip
    for name, (colour, width, dash) in curves.items():
        dashes = f";stroke-dasharray:{dash}" if dash else ""
        rules.append(
            f".{name}{{fill:none;stroke:{colour};stroke-width:{width}{dashes}}}.{name}h{{fill:{colour};stroke:none}}"
        )
    return "".join((
        f"text{{font-family:{FAMILY};fill:{theme.ink}}}.page{{fill:{theme.page}}}",
        *rules,
        f".dilated{{stroke-dasharray:3 2}}.join{{fill:{theme.page};stroke:{theme.line};stroke-width:1.4}}",
        f".sign{{stroke:{theme.line};stroke-width:1.5;fill:none}}.mark{{fill:none;stroke:{theme.mark};stroke-width:2.2}}.diamond{{fill:{theme.mark};stroke:none}}",
        f".halo{{stroke-opacity:.35}}text.muted{{fill:{theme.muted}}}text.hot{{fill:{theme.mark}}}.b{{font-weight:700}}",
        ".m{text-anchor:middle}.e{text-anchor:end}",
    ))  # fmt: skip
