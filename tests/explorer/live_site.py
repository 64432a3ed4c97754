"""A server of page/live alone, with the page's strict policy: what live.js needs, and a log of what was asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import plusx
from plusx.explorer.live_texts import live_texts
from plusx.explorer.vendor import vendored

EXPLORER = Path(plusx.__file__).parent / "explorer"
POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; worker-src 'self'; img-src data:"
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm"}
PAGE = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>live</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/base.css">
</head><body><main id="live"></main><script type="module" src="/boot.js"></script></body></html>"""
BASE = b":root[data-theme=dark] { color-scheme: dark } body { margin: 1rem; font: 16px/1.45 sans-serif; background: Canvas; color: CanvasText }"
BOOT = b"""import { mount } from "/live/live.js";
document.documentElement.dataset.theme = new URLSearchParams(location.search).get("theme") ?? "light";
const language = new URLSearchParams(location.search).get("lang") ?? "en";
await mount(document.getElementById("live"), { language, base: "/" });"""


class LiveSite(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        made = {"/": (PAGE, "text/html"), "/base.css": (BASE, "text/css"), "/boot.js": (BOOT, "text/javascript")}
        made |= {f"/live/texts-{lang}.json": (json.dumps(live_texts(lang)).encode(), "application/json") for lang in ("en", "zh")}  # fmt: skip
        body, kind = made.get(path) or _file(path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def _file(path: str) -> tuple[bytes, str]:
    folders = {"live": EXPLORER / "page/live", "nets": EXPLORER / "page/nets"}
    folders["vendor"] = vendored("onnxruntime-web") if path.startswith("/vendor/") else EXPLORER
    top, _, name = path[1:].partition("/")
    file = folders.get(top, EXPLORER) / Path(name).name
    return (file.read_bytes() if file.is_file() else b"", TYPES.get(file.suffix, "application/octet-stream"))


@contextmanager
def live_site(port: int = 0) -> Iterator[str]:
    LiveSite.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", port), LiveSite)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
