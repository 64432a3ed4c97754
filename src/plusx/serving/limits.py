"""What a request may take: bytes, pixels, time, and places in the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from plusx.i18n import _
from plusx.serving.refusals import Refusal


@dataclass(frozen=True)
class Limits:
    """`body_bytes` of a request, `pixels` of an image, `timeout_s` from the first byte to the answer, `queue` images that may
    wait for a model, `held_bytes` of all bodies together."""

    body_bytes: int = 32 << 20
    pixels: int = 50_000_000
    timeout_s: float = 30.0
    queue: int = 256

    @property
    def held_bytes(self) -> int:
        return 8 * self.body_bytes


class Held:
    """Bytes of bodies that are in memory now, over all requests. Used by the event loop alone."""

    def __init__(self, most: int) -> None:
        self.most, self.now = most, 0

    @contextmanager
    def account(self) -> Iterator[Account]:
        """Inside, the request's bytes count; afterwards no longer."""
        account = Account(self)
        try:
            yield account
        finally:
            self.now -= account.bytes


class Account:
    """The bytes of one request."""

    def __init__(self, held: Held) -> None:
        self.held, self.bytes = held, 0

    def add(self, count: int) -> None:
        """Raises Refusal where the bodies of all requests together would take too much memory."""
        if self.held.now + count > self.held.most:
            raise Refusal(503, _("The server holds too many bytes of other requests. Try again in a second."), 1)
        self.held.now += count
        self.bytes += count


class Deadline:
    """The moment until which a request has to be answered, by the clock of the event loop."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.at = asyncio.get_running_loop().time() + seconds

    def shorten(self, seconds: float) -> None:
        """Bring it forward to `seconds` from now, if that is earlier."""
        self.at = min(self.at, asyncio.get_running_loop().time() + seconds)

    @property
    def left_s(self) -> float:
        return max(0.0, self.at - asyncio.get_running_loop().time())
