"""The body of a request: bounded in bytes and time, decompressed, and split into its files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from email.message import Message as Headers
from typing import Any, NamedTuple

from starlette.requests import Request

from plusx.i18n import _
from plusx.serving.limits import Account, Deadline
from plusx.serving.refusals import Refusal

DISCARD_S = 1.0
MOST_DISCARDED = 256 << 20
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_WINDOWS = {"gzip": 31, "deflate": zlib.MAX_WBITS}
"""zlib's wbits for a Content-Encoding."""
MOST_PARTS = 10_000


MOST_VALUES = 4_000_000
"""Values of a JSON body: each takes up to 64 bytes of memory, so 2 bytes of a hostile body become thirty times as many."""


class UploadedFile(NamedTuple):
    """A file of a request and the name that the client gave it."""

    name: str
    content: bytes


class Gone(Exception):
    """The client closed the connection."""


async def read_body(receive: Receive, most: int, account: Account, deadline: Deadline, length: str | None) -> bytes:
    """The whole body. Raises Refusal (413, 408, 503) and Gone.

    It is refused by its Content-Length before it is read, where it has one.
    """
    too_large = _("The request is larger than {most} bytes. Send fewer or smaller images.", most=most)
    if length is not None and length.isascii() and length.isdecimal() and (len(length) > 15 or int(length) > most):
        raise Refusal(413, too_large)
    body = bytearray()
    try:
        async with asyncio.timeout(deadline.left_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                chunk = message.get("body", b"")
                account.add(len(chunk))
                body += chunk
                if len(body) > most:
                    raise Refusal(413, too_large)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise Refusal(
            408, _("The request did not arrive within {seconds:g} seconds.", seconds=deadline.seconds)
        ) from error


async def discard_body(request: Request) -> None:
    """Take what a client is still sending, for a second: it reads an answer only after it has sent everything.

    A client that waits for `100 Continue` sends nothing.
    """
    if request.method not in ("POST", "PUT") or "expect" in request.headers or hasattr(request.state, "body_read"):
        return
    left = MOST_DISCARDED
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def decompressed(body: bytes, encoding: str | None, most: int, account: Account) -> bytes:
    """The body without its Content-Encoding, of at most `most` bytes. Raises Refusal (400, 413, 415)."""
    if encoding in (None, "", "identity"):
        return body
    if encoding not in _WINDOWS:
        raise Refusal(
            415, _("The Content-Encoding {encoding!r} is unknown. Use gzip or deflate.", encoding=encoding[:20])
        )
    machine = zlib.decompressobj(_WINDOWS[encoding])
    try:
        found = machine.decompress(body, most + 1)
    except zlib.error as error:
        raise Refusal(400, _("The body is not {encoding}, as its Content-Encoding says.", encoding=encoding)) from error
    if len(found) > most:
        raise Refusal(413, _("The request is larger than {most} bytes. Send fewer or smaller images.", most=most))
    if not machine.eof:
        raise Refusal(400, _("The body is not {encoding}, as its Content-Encoding says.", encoding=encoding))
    account.add(len(found))
    return found


def read_json(body: bytes) -> Any:
    """The content of a JSON body. Raises ValueError where it is none, Refusal (413) where it has more values than any request needs."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise Refusal(413, _("The JSON has more than {most} values. Send tensors as binary data.", most=MOST_VALUES))
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError from error


def multipart_files(body: bytes, content_type: str) -> list[UploadedFile]:
    """The files of a multipart/form-data body (RFC 7578), in order; fields without a file name are skipped. Raises Refusal (400)."""
    boundary = _headers(f"content-type: {content_type}").get_boundary()
    if not boundary or len(boundary) > 200:
        raise Refusal(400, _("The multipart request names no boundary."))
    mark = b"--" + boundary.encode("latin-1", "replace")
    parts = (b"\r\n" + body).split(b"\r\n" + mark, MOST_PARTS)
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise Refusal(400, _("The multipart request ends before its last boundary, so it is not whole."))
    files = []
    for part in parts[1:-1]:
        head, gap, content = part.partition(b"\r\n\r\n")
        if not gap:
            raise Refusal(400, _("A part of the multipart request has no headers."))
        headers = _headers(head.decode("utf-8", "replace"))
        name = headers.get_filename()
        if name is not None:
            files.append(UploadedFile(name, content))
    if not files:
        raise Refusal(400, _("The multipart request has no file. With curl: -F file=@photo.jpg."))
    return files


def _headers(text: str) -> Headers:
    """Header lines as email reads them: parameters with quotes, and file names of RFC 2231."""
    headers = Headers()
    for line in text.strip("\r\n").splitlines()[:20]:
        name, colon, value = line.partition(":")
        if colon and name.strip().isascii():
            headers[name.strip()] = value.strip()
    return headers
