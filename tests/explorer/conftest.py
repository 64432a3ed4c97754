"""The page in a headless Chromium, from the local server and as a static site: `make test-browser`."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus

import pytest

from plusx.errors import PlusxError

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run",
]  # fmt: skip
AXE = "axe-core@4.11.0"
PATIENCE_MS = 30_000
MODES = ("server", "static")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


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

    home = Path.home() / ".cache/plusx"
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


@dataclass
class Screen:
    """One tab of the page: what it shows, what it asked for, what its console said."""

    tab: Any
    base: str
    mode: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tab.set_default_timeout(PATIENCE_MS)
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on(
            "console", lambda line: self.complaints.append(line.text) if line.type in ("error", "warning") else None
        )

    def open(self, **state: str) -> Screen:
        """Shows a state. The page is loaded once; later states are given as a new address, as a link would."""
        address = self.address(**state)
        if self.tab.url.startswith(self.base) and self.tab.locator("html[data-ready]").count():
            self.tab.evaluate("address => { location.hash = address }", address)
            self.settle()
        else:
            self.load(**state)
        return self

    def load(self, **state: str) -> Screen:
        self.tab.goto("about:blank")
        self.tab.goto(self.base + self.address(**state))
        self.ready()
        return self

    def ready(self) -> None:
        self.tab.wait_for_selector("html[data-ready]", state="attached")
        self.settle()

    @staticmethod
    def address(**state: str) -> str:
        state = {"net": "resnet50", "lang": "en", "theme": "light", **state}
        return "#" + "&".join(f"{key}={quote_plus(value)}" for key, value in state.items())

    def settle(self) -> None:
        """Waits for the answer to the last act."""
        self.tab.wait_for_timeout(30)
        self.tab.wait_for_selector("body:not([aria-busy])", state="attached")

    def click(self, selector: str) -> None:
        self.tab.click(selector)
        self.settle()

    def press(self, key: str) -> None:
        self.tab.keyboard.press(key)
        self.settle()

    def until(self, condition: str) -> None:
        """Waits for a JavaScript condition. (Playwright's own way evaluates it in the page, which the policy forbids.)"""
        end = time.monotonic() + PATIENCE_MS / 1000
        while not self.tab.evaluate(condition):
            assert time.monotonic() < end, condition
            self.tab.wait_for_timeout(30)

    def write(self, selector: str, text: str) -> None:
        self.tab.fill(selector, text)
        self.tab.press(selector, "Enter")
        self.settle()

    def text(self, selector: str) -> str:
        return self.tab.locator(selector).inner_text()

    @property
    def state(self) -> dict[str, str]:
        """What the address says."""
        found = parse_qs(self.tab.evaluate("location.hash.slice(1)"), keep_blank_values=True)
        return {key: value[0] for key, value in found.items()}

    @property
    def net(self) -> str:
        return self.state["net"]

    @property
    def drawing(self) -> str:
        """The shapes and texts of the drawing."""
        svg = self.tab.evaluate("document.querySelector('#canvas svg').outerHTML")
        return re.sub(r' (class|tabindex|aria-\w+)="[^"]*"', "", svg)

    @property
    def numbers(self) -> str:
        return self.text("#totals") + self.text("#geometry")

    @property
    def foreign(self) -> list[str]:
        """Requests that left this machine, or were stopped by the policy from leaving it."""
        own = (self.base, "blob:", "data:", "about:")
        return [url for url in self.requests if not url.startswith(own)] + [
            line for line in self.complaints if "Content Security Policy" in line
        ]


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
