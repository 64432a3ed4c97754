"""The page in a headless Chromium, from the local server and as a static site: `make test-browser`."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from browsing import Screen

from plusx.errors import PlusxError

AXE = "axe-core@4.11.0"
MODES = ("server", "static")


@pytest.fixture(scope="session")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The address of the page in a mode, which is served from the first time it is asked for."""
    stops: list[Any] = []
    found: dict[str, str] = {}

    def address(mode: str) -> str:
        if mode not in found:
            start = _server if mode == "server" else functools.partial(_static, tmp_path_factory.mktemp("site"))
            found[mode], stop = start()
            stops.append(stop)
        return found[mode]

    yield address
    for stop in stops:
        stop()


def _server() -> tuple[str, Any]:
    import uvicorn

    from plusx.explorer.server import create_app, listen

    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(10)

    return f"http://127.0.0.1:{listening.getsockname()[1]}/", stop


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_line: object) -> None:
        pass


def _static(folder: Path) -> tuple[str, Any]:
    """The exported site from a server that knows nothing but files. Pyodide must be in the cache, or npm here."""
    from plusx.explorer.export import write_site
    from plusx.settings import cache_dir

    home = Path(platformdirs.user_cache_dir("plusx", appauthor=False))
    if not (cache_dir() / "vendor").exists() and (home / "vendor").exists():
        shutil.copytree(home / "vendor", cache_dir() / "vendor")  # tests have a cache of their own
    try:
        write_site(folder, "resnet50")
    except PlusxError as error:
        pytest.skip(str(error))
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/", server.shutdown


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's source, for accessibility; skips where npm cannot fetch it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here, so axe-core cannot be fetched")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder), AXE],
        capture_output=True, timeout=300,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("npm could not fetch axe-core")
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=MODES)
def screen(request: pytest.FixtureRequest, chromium: Any, addresses: Any) -> Iterator[Screen]:
    """The page in one mode, shared by the tests of a module. Nothing may have left this machine when they are done."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    found = Screen(context.new_page(), addresses(request.param), request.param)
    yield found
    foreign, complaints = found.foreign, found.complaints
    context.close()
    assert foreign == []
    assert complaints == []
