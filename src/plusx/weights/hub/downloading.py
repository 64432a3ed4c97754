"""A file from the web: resumed after a cut, bounded, verified, and in its place only when it is whole."""

from __future__ import annotations

import http.client
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from plusx.errors import RunError, WeightsError
from plusx.i18n import Message, _, duration
from plusx.weights.hub.partial_file import PartialFile
from plusx.weights.hub.refusals import changed, other_hash, page, refusal, too_large
from plusx.weights.hub.remote import Digest, RemoteFile, hash_of
from plusx.weights.hub.requesting import Reply, Unreachable, address_of, reason_of, request
from plusx.weights.hub.watching import Watch

MOST_BYTES = 8 << 30
"""Of a file whose size nobody has published."""
CHUNK = 1 << 20
MOST_IDLE, MOST_ATTEMPTS = 3, 50
"""Attempts in a row that bring no byte, and attempts in all."""
MOST_PASSES = 2
"""A file whose parts do not belong together is fetched anew from its beginning, once."""
WAIT_S = 1.0
"""Before another attempt, doubled after each that brought no byte."""
MOST_WAIT_S = 60.0
"""The longest wait that a server may ask for with Retry-After; a longer one is told to the user."""
BUSY = (408, 425, 429, 500, 502, 503, 504)
PAGES = (b"<!doctype", b"<html", b"<?xml", b"version https://git-lfs")
"""How a web page begins, or what Git stores in the place of a large file."""
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-f]{64})"?')


class NotThere(Exception):
    """The server has no such file."""


@dataclass(frozen=True)
class Downloaded:
    sha256: str
    commit: str
    """The revision that the hub names, or empty."""
    verified: bool
    """Whether the hash is the published one or the hub's."""


class _Broken(Exception):
    """The bytes that arrived are of no use; a fresh start may help if earlier ones were kept."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message


def download(
    file: RemoteFile, to: Path, digest: Digest | None, most: int, watch: Watch, *, record: Path | None = None
) -> Downloaded:
    """The file at its place, verified against `digest` and the hub's hash; `record` holds the digest where nobody publishes one.

    What arrived before a cut is kept beside it and resumed, now or by another call. Raises NotThere, WeightsError for an answer
    that is not the file, RunError for a connection or a disk that fails.
    """
    from plusx.bundles.atomic import disk_error

    part, passes = PartialFile(to), 0
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        while True:
            passes += 1
            part.was_resumed = False
            try:
                reply = _fill(part, file, most, watch)
                return _placed(part, file, digest, reply, record)
            except _Broken as error:
                part.remove()
                if passes == MOST_PASSES or not part.was_resumed:
                    raise WeightsError(error.message) from None
    except OSError as error:
        raise disk_error(to, error) from error
    finally:
        watch.ended()


def _fill(part: PartialFile, file: RemoteFile, most: int, watch: Watch) -> Reply:
    """Requests until the part is whole; the last reply, closed."""
    idle = 0
    for _attempt in range(MOST_ATTEMPTS):
        before, wait = part.size, WAIT_S * 2**idle
        try:
            reply = request(file, _headers(part))
            try:
                if reply.status in BUSY:
                    wait = max(wait, _asked_wait(reply, file))
                    raise Unreachable(f"HTTP {reply.status}")
                if _copied(part, reply, file, most, watch):
                    return reply
                reason = _("the connection ended early")
            finally:
                reply.close()
        except Unreachable as error:
            reason = error.reason
        idle = 0 if part.size > before else idle + 1
        if idle >= MOST_IDLE:
            raise Unreachable(reason)
        if idle:
            text = _(
                "{url}: {reason}; another try in {seconds:.0f} s", url=address_of(file), reason=reason, seconds=wait
            )
        else:
            text = _("{url}: {reason}; the rest is asked for", url=address_of(file), reason=reason)
        watch.waits(text)
        time.sleep(wait if idle else 0)
    raise Unreachable(_("the connection was lost {n} times", n=MOST_ATTEMPTS))


def _headers(part: PartialFile) -> dict[str, str]:
    """What asks for the rest alone, if the file is still the same one."""
    if part.size and part.etag:
        return {"Range": f"bytes={part.size}-", "If-Range": part.etag}
    return {}


def _asked_wait(reply: Reply, file: RemoteFile) -> float:
    """Seconds that the server asks to wait. Raises RunError where they are too many."""
    text = (reply.headers["Retry-After"] or "").strip()
    seconds = 0.0
    if text.isascii() and text.isdecimal():
        seconds = float(text[:9])
    elif text:
        with suppress(ValueError, TypeError):
            seconds = max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    if seconds > MOST_WAIT_S:
        raise RunError(
            _("{url} is busy (HTTP {status}) and asks to wait {time}. Run the same command again then; what has arrived is kept.",
              url=address_of(file), status=reply.status, time=duration(seconds))
        )  # fmt: skip
    return seconds


def _copied(part: PartialFile, reply: Reply, file: RemoteFile, most: int, watch: Watch) -> bool:
    """Appends the reply's bytes to the part; whether the file is whole. Raises NotThere, WeightsError, _Broken."""
    done, whole = _start(part, reply, file)
    if whole == 0:
        raise _Broken(page(file))
    if whole is not None and whole > most:
        part.remove()
        raise WeightsError(too_large(file, whole, most))
    _require_space(part.path, (whole or done) - done)
    watch.started(file.basename, done, whole)
    framed = (
        reply.status == 416 or reply.headers["Content-Length"] is not None
    )  # else the end of the connection is the end of the file
    with part.path.open("ab") as out:
        while (done != whole or not framed) and (
            chunk := _next(reply, CHUNK if whole is None else max(1, whole - done))
        ):
            if done == 0 and chunk[:40].lstrip().lower().startswith(PAGES):
                raise _Broken(page(file))
            done += len(chunk)
            if done > (most if whole is None else whole):
                raise _Broken(too_large(file, done, most if whole is None else whole))
            out.write(chunk)
            watch.moved(done)
        out.flush()
        os.fsync(out.fileno())
    return done == whole if whole is not None else done > 0


def _next(reply: Reply, most: int) -> bytes:
    """The bytes that are there, or none at the end. Raises Unreachable where the connection is lost."""
    try:
        return reply.body.read1(min(most, CHUNK))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(reason_of(error)) from error


def _start(part: PartialFile, reply: Reply, file: RemoteFile) -> tuple[int, int | None]:
    """Bytes that are there and bytes of the whole file, after the part was made ready for this reply."""
    have, linked = part.size, _number(reply.hub.get("x-linked-size"))
    if reply.status == 206:
        part.was_resumed = True
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", reply.headers["Content-Range"] or "")
        if not found or int(found[1]) != have or (linked is not None and linked != int(found[2])):
            raise _Broken(_("{url} continues at another place than it was asked for. Try again.", url=address_of(file)))
        return have, int(found[2])
    if reply.status == 416 and have:
        part.was_resumed = True
        if reply.headers["Content-Range"] == f"bytes */{have}":  # nothing is left to send
            return have, have
        raise _Broken(_("{url} changed while it was fetched. Try again.", url=address_of(file)))
    if reply.status in (404, 410):
        raise NotThere
    if reply.status != 200:
        raise WeightsError(refusal(reply, file))
    if (reply.headers["Content-Type"] or "").lower().startswith("text/html"):
        raise WeightsError(page(file))
    if (reply.headers["Content-Encoding"] or "identity").lower() != "identity":
        raise WeightsError(
            _("{url} sends the file compressed, which was not asked for. Use another address.", url=address_of(file))
        )
    length = _number(reply.headers["Content-Length"])
    if None not in (length, linked) and length != linked:
        raise WeightsError(
            _("{url} sends {length:,} bytes in place of the {linked:,} that the hub states. Use another mirror, or try again later.",
              url=address_of(file), length=length, linked=linked)
        )  # fmt: skip
    part.begin(reply.headers["ETag"] or "")
    return 0, linked if length is None else length


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= 15 else None


def _require_space(path: Path, n: int) -> None:
    import shutil

    free = shutil.disk_usage(path.parent).free
    if n > free:
        raise RunError(
            _("{folder} has room for {free:,.0f} MB, and {n:,.0f} MB are to come. Free some space, or set PLUSX_CACHE to another folder.",
              folder=path.parent, free=free / 1e6, n=n / 1e6)
        )  # fmt: skip


def _placed(
    part: PartialFile, file: RemoteFile, digest: Digest | None, reply: Reply, record: Path | None
) -> Downloaded:
    """The whole part, verified and renamed. Raises _Broken where its hash is another."""
    sha256 = hash_of(part.path)
    linked = _SHA256.fullmatch(reply.hub.get("x-linked-etag", ""))
    if linked and linked[1] != sha256:
        raise _Broken(other_hash(file, sha256, Digest("sha256", linked[1])))
    if digest is not None and not digest.fits(part.path, sha256):
        raise _Broken(other_hash(file, sha256, digest) if record is None else changed(file, sha256, digest, record))
    part.path.replace(part.to)
    part.about.unlink(missing_ok=True)
    return Downloaded(sha256, reply.hub.get("x-repo-commit", "")[:64], linked is not None or digest is not None)
