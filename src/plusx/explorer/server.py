"""The local server of the page: files from memory, views from Python. It reads no file that a request names."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from plusx.errors import PlusxError, RunError
from plusx.explorer.site import TYPES, about, page_files, policy
from plusx.explorer.vendor import PACKAGES, vendored
from plusx.explorer.views import START, WrongFieldError, answer, svg_file
from plusx.files import json_text
from plusx.i18n import _, translate

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_QUERY = 8192
"""Bytes of a query; a network's line has up to 1000 characters, of which each may take 9 bytes."""
HEADERS = {
    "Content-Security-Policy": policy(header=True),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_app(*, net: str = START, hosts: Iterable[str] = LOOPBACK, vendor: Path | None = None) -> Guard:
    """The application. Requests for other names are refused: a page of another site could point its name at 127.0.0.1.

    `net` is the network that is shown first; `vendor` a place for packages of the browser, see `vendored`.
    """

    async def view(request: Request) -> Response:
        found = await run_in_threadpool(answer, request.query_params)
        return _json(found)

    async def svg(request: Request) -> Response:
        try:
            text = await run_in_threadpool(svg_file, request.query_params)
        except WrongFieldError as error:
            return _json({"error": str(error), "of": error.field}, status=400)
        return Response(text, media_type=TYPES[".svg"])

    async def about_page(_request: Request) -> Response:
        return _json(about(static=False, net=net))

    async def page(request: Request) -> Response:
        file = page_files().get(request.path_params["path"] or "index.html")
        if file is None:
            return PlainTextResponse("not found", 404)
        return Response(file.content, media_type=file.media_type)

    async def package(request: Request) -> Response:
        name, file = request.path_params["package"], request.path_params["file"]
        if name not in PACKAGES or file not in {Path(each).name for each in PACKAGES[name].files}:
            return PlainTextResponse("not found", 404)
        try:
            folder = await run_in_threadpool(vendored, name, vendor)
        except PlusxError as error:
            return PlainTextResponse(translate(error.message, request.query_params.get("lang", "en")), 503)
        return Response((folder / file).read_bytes(), media_type=TYPES[Path(file).suffix])

    routes = [
        Route("/api/view", view),
        Route("/api/svg", svg),
        Route("/about.json", about_page),
        Route("/vendor/{package}/{file}", package),
        Route("/{path:path}", page),
    ]
    return Guard(Starlette(routes=routes), hosts)


class Guard:
    """Checks the Host and the length of the query before anything else, and adds the headers to every answer."""

    def __init__(self, app: Starlette, hosts: Iterable[str]) -> None:
        self.app, self.hosts = app, frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        app: Any = self.app
        if len(hosts) != 1 or not self._serves(host_name(hosts[0])):
            app = PlainTextResponse("this host is not served here", 421)
        elif len(scope["query_string"]) > MOST_QUERY:
            app = PlainTextResponse("the query is too long", 414)
        await app(scope, receive, with_headers)

    def _serves(self, name: str) -> bool:
        """Whether a name is ours. An address always is: only names can be pointed elsewhere."""
        return name in self.hosts or is_address(name)


def is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def host_name(header: str) -> str:
    """The name in a Host header, without the port; empty where there is none.

    >>> host_name("LocalHost:8000"), host_name("[::1]:8000"), host_name("a@b:c")
    ('localhost', '::1', '')
    """
    try:
        parts = urlsplit(f"//{header}")
        return "" if "@" in header or parts.path or parts.port == -1 else (parts.hostname or "")
    except ValueError:
        return ""


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json_text(value), status, media_type=TYPES[".json"])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises RunError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and number > 0 else _("there is no such address")
        raise RunError(
            _("{host}, port {port}, cannot be served ({reason}). Give another --port, or --port 0 for a free one.",
              host=host, port=port, reason=reason)
        ) from None  # fmt: skip


def serve(app: Guard, listening: socket.socket) -> None:
    """Answer requests until the process is interrupted."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])
