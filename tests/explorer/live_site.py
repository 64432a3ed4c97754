"""The explorer's page on a port of its own, and the paths that were asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import uvicorn

from plusx.explorer.export import write_site
from plusx.explorer.server import create_app, listen
from plusx.explorer.site import TYPES

ASKED: list[str] = []


@contextmanager
def live_site(port: int = 0) -> Iterator[str]:
    """The address of the server, which stops afterwards."""
    app = create_app(net="resnet20")

    async def logged(scope: Any, receive: Any, send: Any) -> None:
        ASKED.append(scope["path"])
        await app(scope, receive, send)

    listening = listen("127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(logged, log_level="warning", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)


class _Files(SimpleHTTPRequestHandler):
    extensions_map = TYPES

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def static_site(folder: Path) -> Iterator[str]:
    """The address of the exported site, from a server that knows files alone."""
    write_site(folder, "resnet20")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
