"""One tab of the page, as the browser's tests use it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote_plus

PATIENCE_MS = 30_000


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
