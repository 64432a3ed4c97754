"""Images in a page: a frame, its place, and two classes with their probabilities."""

from __future__ import annotations

from plusx.svg.markup import escape

CARD_STYLE = (
    ".frame{display:flex;align-items:center;justify-content:center;height:136px;background:var(--soft);border-radius:8px;overflow:hidden}"
    ".frame img{max-width:100%;max-height:100%;display:block}.frame img.small{width:112px;height:112px;object-fit:contain;image-rendering:pixelated}"
    ".card small,.pair small{display:block;color:var(--muted);font-size:11.5px;line-height:1.35;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}"
    ".odds{display:grid;grid-template-columns:minmax(0,3fr) 2fr 36px;gap:1px 6px;align-items:center;margin-top:6px;font-size:12px;line-height:1.4}"
    ".odds b,.odds span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.odds span{color:var(--muted)}"
    ".odds i{height:6px;background:var(--soft);border-radius:3px;overflow:hidden}.odds i::before{content:'';display:block;height:100%;width:var(--p);background:var(--c);border-radius:3px}"
    ".odds em{font-style:normal;font-variant-numeric:tabular-nums;text-align:right;color:var(--muted)}"
)


def frame(uri: str, path: str) -> str:
    """An image in its frame; the frame alone where `uri` is empty. A PNG is a tiny image, which is enlarged to the pixel."""
    if not uri:
        return '<div class="frame"></div>'
    small = ' class="small"' if uri.startswith("data:image/png") else ""
    return f'<div class="frame"><img src="{uri}" alt="{escape(path)}"{small}></div>'


def odds(tag: str, name: str, p: float, colour: str, what: str) -> str:
    """A class and its probability as a bar; `what` is what the class is to the image."""
    hint = escape(f"{what} {name}: {p:.1%}")
    return (
        f'<{tag} title="{hint}">{escape(name)}</{tag}><i style="--p:{100 * p:.0f}%;--c:{colour}" title="{hint}"></i>'
        f"<em>{p:.0%}</em>"
    )


def place(path: str) -> str:
    """The end of a path, which tells images apart; the whole of it as a tooltip."""
    return f'<small title="{escape(path)}">{escape(_end(path))}</small>'


def _end(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 else path
