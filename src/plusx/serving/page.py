"""The page at /: drop an image, see its classes and where each is seen. Nothing in it comes from elsewhere."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from plusx.i18n import LANGUAGES, _, translate
from plusx.serving.refusals import Refusal
from plusx.serving.repository import Repository

POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
))  # fmt: skip
HEADERS = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin", "cache-control": "no-cache",
}  # fmt: skip
ASSETS = {"page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}
TEXTS = {
    "drop": _("Drop images here, or choose files"),
    "private": _("The images go to this server only."),
    "model": _("model"),
    "token": _("token"),
    "hint": _("Click a class to see where in the image it is seen (class activation map)."),
    "working": _("computing…"),
    "offline": _("The server cannot be reached."),
    "nomap": _("no heat map"),
}
"""The texts of the page, by the name under which its script knows them."""


def page(request: Request, repository: Repository) -> Response:
    """The page, in the language of ?lang= or of the browser."""
    lang = _language(request)
    text = {key: escape(translate(value, lang)) for key, value in TEXTS.items()}
    names = sorted({model.name for model in repository})
    options = "".join(f"<option>{escape(name)}</option>" for name in names)
    says = "".join(f' data-{key}="{value}"' for key, value in text.items())
    languages = "".join(
        f'<a href="?lang={code}" lang="{code}"{" aria-current=true" if code == lang else ""}>{label}</a>'
        for code, label in (("en", "English"), ("zh", "中文"))
    )
    html = (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>plusx serve</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="assets/page.css"><script src="assets/page.js" defer></script></head>'
        f'<body{says} data-lang="{lang}"><main><header><h1>plusx</h1><nav>{languages}</nav></header>'
        f'<p class="controls"><label>{text["model"]} <select id="model">{options}</select></label>'
        f'<label id="ask" hidden>{text["token"]} <input id="token" type="password" autocomplete="off"></label></p>'
        f'<label id="drop"><input id="files" type="file" accept="image/*" multiple>'
        f"<b>{text['drop']}</b><small>{text['private']}</small></label>"
        f'<p class="hint">{text["hint"]}</p><div id="cards" aria-live="polite"></div></main></body></html>'
    )
    return Response(html, headers={**HEADERS, "content-type": "text/html; charset=utf-8"})


def asset(name: str) -> Response:
    """A file of the page. Raises Refusal (404)."""
    if name not in ASSETS:
        raise Refusal(404, _("There is nothing at {path}. See /openapi.json.", path=f"/assets/{name[:50]}"))
    content = files("plusx.serving").joinpath("assets", name).read_bytes()
    return Response(content, headers={**HEADERS, "content-type": ASSETS[name]})


def _language(request: Request) -> str:
    wanted = request.query_params.get("lang") or request.headers.get("accept-language", "")
    return next((code for code in LANGUAGES if wanted[:2].lower() == code), "en")
