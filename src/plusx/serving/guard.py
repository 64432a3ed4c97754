"""What stands before every route: who may ask, which errors leave, what is counted and logged."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plusx.errors import BundleError, MissingExtra, PlusxError, RunError
from plusx.i18n import LANGUAGES, Message, _, translate
from plusx.serving.bodies import Gone, discard_body
from plusx.serving.metrics import Metrics
from plusx.serving.refusals import Refusal

log = logging.getLogger("plusx")
Endpoint = Callable[[Request], Awaitable[Response]]
OPEN = ("/", "/healthz")
OPEN_BELOW = ("/assets/", "/v2/health/")
"""Addresses that need no token: probes of a cluster have none, and the page asks for it."""
CLIENT_GONE = 499
"""The status under which a request is logged whose client did not wait (nginx's)."""


class Guard:
    """Wraps endpoints. `token` None asks for none; `loopback` allows only local names in Host."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        token: str | None,
        loopback: bool,
        report: Callable[[Message], None] | None,
        debug: bool,
    ) -> None:
        self.metrics, self.loopback, self.report, self.debug = metrics, loopback, report, debug
        self.token = None if token is None else token.encode()
        self.draining = False
        """Whether the server is about to end: each answer closes its connection."""

    def guarded(self, route: str, endpoint: Endpoint) -> Endpoint:
        """The endpoint, whose errors are answers. `route` is its label."""

        async def call(request: Request) -> Response:
            start = time.perf_counter()
            try:
                self.check(request)
                response = await endpoint(request)
            except Gone:
                response = Response(status_code=CLIENT_GONE)
            except PlusxError as error:
                response = refused(request, error)
            except Exception as error:
                log.error(
                    _(
                        "error while answering {route}: {kind}: {error}",
                        route=route,
                        kind=type(error).__name__,
                        error=error,
                    ),
                    exc_info=self.debug,
                )
                response = refused(request, Refusal(500, _("The server failed while it answered. Its log says more.")))
            if response.headers.get("connection") == "close":
                await discard_body(request)
            if self.draining:
                response.headers["connection"] = "close"
            self.count(request, route, response.status_code, time.perf_counter() - start)
            return response

        return call

    def count(self, request: Request, route: str, status: int, seconds: float) -> None:
        """A request that was answered, in the metrics and the log."""
        self.metrics.request(route, status, seconds)
        if self.report is not None:
            self.report(
                _("{client} {method} {path} {status} {ms:.0f} ms",
                  client=request.client.host if request.client else "-", method=request.method[:20],
                  path=request.url.path[:200], status=status, ms=1000 * seconds)
            )  # fmt: skip

    def check(self, request: Request) -> None:
        """Raises Refusal (401, 403)."""
        host = request.headers.get("host", "")
        if self.loopback and not _is_local(host):
            raise Refusal(403, _("This server answers to localhost, not to {host!r}.", host=host[:100]))
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Refusal(403, _("This server does not answer to pages of {origin!r}.", origin=origin[:100]))
        if self.token is None or request.url.path in OPEN or request.url.path.startswith(OPEN_BELOW):
            return
        kind, _space, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token):
            raise Refusal(401, _("This server needs a token: Authorization: Bearer TOKEN."))


def refused(request: Request, error: PlusxError) -> Response:
    """The answer to a request that cannot be fulfilled: `{"error": sentence}`. The connection ends with it where the body may not be read."""
    status = error.status if isinstance(error, Refusal) else _status(error)
    headers = {"retry-after": str(error.retry_s)} if isinstance(error, Refusal) and error.retry_s else {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status in (401, 403, 408, 413):
        headers["connection"] = "close"
    return JSONResponse({"error": translate(error.message, language_of(request))}, status, headers)


def _status(error: PlusxError) -> int:
    """Of an error that the rooms below raised: the request's fault, or the server's."""
    if isinstance(error, MissingExtra):
        return 501
    return 500 if isinstance(error, RunError | BundleError) else 400


def language_of(request: Request) -> str:
    """The language of ?lang=; errors are in English otherwise, as clients expect."""
    wanted = request.query_params.get("lang", "en")
    return wanted if wanted in LANGUAGES else "en"


def _is_local(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False
