"""One request: proxies of the environment, redirects that are followed or refused, and a token that stays with its host."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message as Headers
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.version import __version__
from plusx.weights.hub import environment, remote
from plusx.weights.hub.remote import RemoteFile

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""
MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HUB_HEADERS = ("X-Linked-Etag", "X-Linked-Size", "X-Repo-Commit")
"""Headers in which the hub describes the file that it redirects to."""


class Unreachable(Exception):
    """The connection failed; another try may succeed. `reason` is the system's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Reply:
    """What a server answers; `hub` has the hub's headers, in lower case, of the whole chain of redirects."""

    status: int
    headers: Headers
    url: str
    body: Any
    hub: Mapping[str, str] = field(default_factory=dict)

    def close(self) -> None:
        self.body.close()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_words: Any) -> None:
        return None


def address_of(file: RemoteFile) -> str:
    """Where the file is requested: for one of the hub at HF_ENDPOINT, where that is set."""
    return environment.endpoint() + file.url.removeprefix(remote.HUB) if file.repo else file.url


def request(file: RemoteFile, headers: Mapping[str, str]) -> Reply:
    """The server's reply, of any status that is no redirect. Raises Unreachable, WeightsError."""
    url, hub = address_of(file), {}
    opener = urllib.request.build_opener(_NoRedirects)
    token = environment.token()
    for _hop in range(MOST_REDIRECTS + 1):
        check_scheme(url, file)
        asked = urllib.request.Request(url, headers=_usual_headers() | dict(headers))
        if token is not None and _origin(urlsplit(url)) == _origin(urlsplit(remote.HUB)):
            asked.add_unredirected_header("Authorization", f"Bearer {token}")
        reply = _sent(opener, asked, url)
        hub |= {name.lower(): reply.headers[name] for name in HUB_HEADERS if reply.headers[name]}
        if reply.status not in REDIRECTS:
            reply.hub = hub
            return reply
        reply.close()
        url = _redirected(file, url, reply.headers["Location"])
    raise WeightsError(
        _("{url} redirects more than {most} times. Try another address.", url=address_of(file), most=MOST_REDIRECTS)
    )


def _usual_headers() -> dict[str, str]:
    return {"User-Agent": f"plusx/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


def _sent(opener: urllib.request.OpenerDirector, asked: urllib.request.Request, url: str) -> Reply:
    try:
        found = opener.open(asked, timeout=TIMEOUT)
        return Reply(found.status, found.headers, url, found)
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.headers, url, error)
    except urllib.error.URLError as error:
        raise Unreachable(reason_of(error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(reason_of(error)) from error


def reason_of(error: object) -> str:
    """Why a connection failed, in the system's words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _redirected(file: RemoteFile, url: str, location: str | None) -> str:
    """The address after a redirect. Raises WeightsError where it may not be followed."""
    if not location:
        raise WeightsError(_("{url} redirects to nowhere. Try another address.", url=url))
    target = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(target)
    if file.repo and environment.mirror() is not None and after.hostname != before.hostname:
        raise WeightsError(
            _("HF_ENDPOINT={endpoint} sends the data of {path} to another host ({host}), which is not followed. Use a mirror that "
              "serves the data itself, or unset HF_ENDPOINT.",
              endpoint=environment.endpoint(), path=f"{file.repo}/{file.path}", host=after.hostname)
        )  # fmt: skip
    if before.scheme == "https" and after.scheme != "https":
        raise WeightsError(
            _("{url} redirects to {target}, which is not encrypted, and that is not followed. Try another address.",
              url=url, target=target)
        )  # fmt: skip
    return target


def check_scheme(url: str, file: RemoteFile) -> None:
    """Raises WeightsError for what is neither https, nor http on this machine or at HF_ENDPOINT as the user wrote it."""
    parts = urlsplit(url)
    chosen = file.repo and _origin(parts) == _origin(urlsplit(environment.endpoint()))
    plain = parts.scheme == "http" and (parts.hostname in LOOPBACK or chosen)
    if not parts.hostname or "@" in parts.netloc or not (parts.scheme == "https" or plain):
        raise WeightsError(_refused(url, parts))


def _refused(url: str, parts: SplitResult) -> Message:
    if "@" in parts.netloc:
        return _("The address of {host} holds a user name or a password. Write it without one.", host=parts.hostname)
    if parts.scheme == "http":
        return _("{url} is not encrypted, so anyone on the way could change the file. Use https.", url=url)
    return _("{url} is no address of a file on the web. Write one that begins with https://.", url=url)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port
