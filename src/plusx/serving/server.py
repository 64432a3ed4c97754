"""The server's life: the socket, the models, uvicorn, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import signal
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import uvicorn

from plusx.errors import SpecError
from plusx.i18n import _
from plusx.serving.answering import Answering
from plusx.serving.connections import MOST, Connection
from plusx.serving.guard import Guard
from plusx.serving.limits import Held
from plusx.serving.metrics import Metrics
from plusx.serving.repository import Repository
from plusx.serving.routes import Endpoints, make_app
from plusx.serving.served import ServingOptions
from plusx.serving.sources import Source

KEEP_ALIVE_S = 15
DRAIN_S = 1.0
"""After SIGTERM the server answers for so long as before, but says that it is not ready and closes each connection with its
answer: who balances the load looks elsewhere meanwhile."""
BACKLOG = 1024
ACCEPTED_S = 0.05
"""In this time, asyncio sets up the connections that it has accepted."""


@dataclass(frozen=True)
class Address:
    """Where the server listens. `token` None asks for none."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def listening(address: Address) -> socket.socket:
    """A socket that listens. Raises SpecError for a port in use, or a host that is not of this machine."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _name, where = found[0]
        sock = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:
        raise SpecError(
            _("--host {host} is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all.", host=address.host)
        ) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            text = _("Port {port} is in use. Choose another with --port, or 0 for a free one.", port=address.port)
        elif error.errno == errno.EACCES:
            text = _(
                "The system does not allow port {port}. Choose one from 1024, like --port 8000.", port=address.port
            )
        else:
            text = _(
                "--host {host} is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all.", host=address.host
            )
        raise SpecError(text) from error
    return sock


class ModelServer:
    """Bundles behind an address. `serve` runs until `stop` is called, or a signal arrives in the main thread."""

    def __init__(
        self, sources: Iterable[Source], address: Address, options: ServingOptions, *,
        log_requests: bool = False, debug: bool = False,
    ) -> None:  # fmt: skip
        self.socket = listening(address)
        self.metrics = Metrics()
        self.repository = Repository(sources, replace(options, on_batch=self.metrics.batch))
        self.guard = Guard(
            self.metrics, token=address.token, loopback=address.is_loopback,
            report=options.report if log_requests else None, debug=debug,
        )  # fmt: skip
        answering = Answering(self.repository, options.limits, Held(options.limits.held_bytes))
        app = make_app(Endpoints(answering, self.metrics, lambda: self.is_ready), self.guard)
        config = uvicorn.Config(
            app, http=Connection, ws="none", loop="asyncio", lifespan="off", log_config=None, log_level="error", access_log=False,
            server_header=False, timeout_keep_alive=KEEP_ALIVE_S, backlog=BACKLOG,
            timeout_graceful_shutdown=int(options.limits.timeout_s) + 1,
        )  # fmt: skip
        self._uvicorn = _Uvicorn(config)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def is_ready(self) -> bool:
        return not self.guard.draining

    def load(self) -> None:
        """Load and warm up every model. Raises PlusxError."""
        try:
            self.repository.load()
        except BaseException:
            self.socket.close()
            raise

    def serve(self) -> bool:
        """Answer requests until the end; every accepted request is answered first. Whether all threads have ended, too."""
        raise_file_limit()
        self.repository.watch()
        try:
            asyncio.run(self._serve())
        finally:
            ended = self.repository.stop()
        return ended

    def stop(self) -> None:
        """End the server, from any thread; the second call does not wait for requests."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        with self._signals():
            await self._uvicorn.serve(sockets=[self.socket])

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        assert self._loop is not None
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            self._loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in numbers:
                self._loop.remove_signal_handler(number)

    def _end(self) -> None:
        if self.guard.draining:
            self._uvicorn.should_exit = self._uvicorn.force_exit = True
            return
        self.guard.draining = True
        assert self._loop is not None
        self._loop.call_later(DRAIN_S, self._uvicorn.exit)


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, which would end the process by the signal after a whole shutdown."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
        yield

    def exit(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the connections that the system has accepted already: closing the listening socket would reset them.

        asyncio loses a connection that it has accepted but not yet set up when its server is closed, so it stops accepting first.
        """
        loop = asyncio.get_running_loop()
        for sock in sockets or []:
            loop.remove_reader(sock.fileno())
            await asyncio.sleep(ACCEPTED_S)
            with contextlib.suppress(OSError):  # BlockingIOError: there is none
                while True:
                    accepted, _from = sock.accept()
                    accepted.setblocking(False)
                    await loop.connect_accepted_socket(self._connection, accepted)
        await super().shutdown(sockets)

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, {}, asyncio.get_running_loop())


def raise_file_limit() -> None:
    """As many open files as the system allows, up to what the connections need: each is one."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST if hard == resource.RLIM_INFINITY else min(2 * MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
