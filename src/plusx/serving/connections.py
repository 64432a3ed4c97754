"""uvicorn's HTTP/1.1 connections with what it lacks: time limits for headers and for clients that do not read, a bound.

uvicorn closes a connection that is idle after an answer (timeout_keep_alive), but waits without end for the first request,
for the rest of its headers, and for a client that does not take its answer; limit_concurrency counts idle connections too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from plusx.i18n import _

HEADERS_S = 10.0
"""Seconds from the connection, or from a request's first byte, to the end of its headers."""
WRITING_S = 30.0
"""Seconds in which a client has to take what is written to it."""
ENDING_S = 0.3
"""How long a connection without a request stays open once the server takes no new ones."""
MOST = 4000
"""Connections at a time. The one that has been idle the longest gives way to a new one."""


class Connection(H11Protocol):
    """One connection of a client."""

    _headers_timer: asyncio.TimerHandle | None = None
    _writing_timer: asyncio.TimerHandle | None = None
    idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.idle_since = time.monotonic()
        self._wait_for_headers()
        if len(self.connections) > MOST:
            idle = [each for each in self.connections if isinstance(each, Connection) and each.is_idle]
            min(idle or [self], key=lambda each: each.idle_since).transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.is_idle:
            self._wait_for_headers()
        else:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        self.idle_since = time.monotonic()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends. A request may be on its way over a connection that looks idle, so that one is closed a little later."""
        if self.is_idle:
            self.loop.call_later(ENDING_S, self._close_if_idle)
        else:
            super().shutdown()

    def _close_if_idle(self) -> None:
        if not self.transport.is_closing():
            with contextlib.suppress(h11.LocalProtocolError):
                super().shutdown()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_headers(self) -> None:
        if self._headers_timer is None:
            self._headers_timer = self.loop.call_later(HEADERS_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing_timer = self.loop.call_later(WRITING_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._writing_timer is not None:
            self._writing_timer.cancel()
            self._writing_timer = None
        if self.flow is not None:
            super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered as everything else is."""
        body = json.dumps({"error": _("The request is not HTTP/1.1.")}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if self.conn.our_state is h11.IDLE or self.conn.our_state is h11.SEND_RESPONSE:
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
