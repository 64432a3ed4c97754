"""The files of the page, the same for the server and the static site: what is shipped, and what is made from the code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from plusx.explorer.live_texts import live_texts
from plusx.explorer.words import texts
from plusx.files import json_text
from plusx.i18n import LANGUAGES
from plusx.svg.theme import THEMES, Theme, style_sheet
from plusx.version import __version__

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png",
    ".wasm": "application/wasm", ".zip": "application/zip", ".onnx": "application/octet-stream",
    ".safetensors": "application/octet-stream", ".idx": "application/octet-stream",
}  # fmt: skip
"""The endings that are served; another file is none of the page's."""
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",  # Pyodide and ONNX Runtime compile WebAssembly; no script is evaluated
    "style-src": "'self'",
    "img-src": "'self' blob: data:",  # one's own image, and the drawing on its way to PNG
    "connect-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
}


class PageFile(NamedTuple):
    content: bytes
    media_type: str


def policy(*, header: bool) -> str:
    """The Content-Security-Policy; `frame-ancestors` is valid in a header alone (CSP level 3, section 6.4.2).

    >>> policy(header=True).rpartition("; ")[2]
    "frame-ancestors 'none'"
    """
    rules = {**POLICY, "frame-ancestors": "'none'"} if header else POLICY
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@cache
def page_files() -> dict[str, PageFile]:
    """Path below the page's address to the file. Whatever is not in it is not served."""
    shipped = {
        path.relative_to(PAGE).as_posix(): PageFile(path.read_bytes(), TYPES[path.suffix])
        for path in sorted(PAGE.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }
    made = {"theme.css": theme_css().encode()}
    made |= {f"texts-{lang}.json": json_text(texts(lang)).encode() for lang in LANGUAGES}
    made |= {f"live/texts-{lang}.json": json_text(live_texts(lang)).encode() for lang in LANGUAGES}
    return shipped | {name: PageFile(content, TYPES[Path(name).suffix]) for name, content in made.items()}


def about(*, static: bool, net: str) -> dict[str, Any]:
    """What the page must know before it asks anything: whether Python runs in it, the first network, what else is there."""
    return {
        "version": __version__, "static": static, "net": net, "languages": list(LANGUAGES),
        "live": "live/live.js" in page_files(),
    }  # fmt: skip


def theme_css() -> str:
    """The colours of drawings as classes below `.drawing`, and as variables for the rest of the page, for each theme."""
    return "\n".join(
        line for name, theme in THEMES.items() for line in _theme_rules(f':root[data-theme="{name}"]', theme)
    )


def _theme_rules(root: str, theme: Theme) -> list[str]:
    colours = {
        f"{name}-{side}": colour
        for name, value in theme._asdict().items()
        for side, colour in zip(("fill", "stroke"), (value,) * 2 if isinstance(value, str) else value, strict=True)
    }
    variables = "".join(f"--{name}:{colour};" for name, colour in colours.items())
    rules = [rule for rule in style_sheet(theme).split("}") if rule]
    return [f"{root}{{{variables}}}", *(f"{root} .drawing {rule}}}" for rule in rules)]
