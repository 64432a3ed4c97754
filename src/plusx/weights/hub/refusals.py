"""Texts for answers that are not the file that was asked for."""

from __future__ import annotations

from pathlib import Path

from plusx.i18n import Message, _
from plusx.weights.hub import environment
from plusx.weights.hub.remote import Digest, RemoteFile
from plusx.weights.hub.requesting import Reply, address_of


def too_large(file: RemoteFile, n: int, most: int) -> Message:
    return _("{url} sends {n:,} bytes or more, and at most {most:,} were expected. Check the address.", url=address_of(file), n=n, most=most)  # fmt: skip


def other_hash(file: RemoteFile, found: str, published: Digest) -> Message:
    return _(
        "{url} sent a file with another hash (sha256 {found}…) than the published one ({hash}). Nothing of it is kept; use another mirror "
        "or network, or try again later.",
        url=address_of(file), found=found[:16], hash=str(published),
    )  # fmt: skip


def changed(file: RemoteFile, found: str, first: Digest, record: Path) -> Message:
    return _(
        "The file at {url} changed: it has the sha256 {found}…, and the one that was fetched first had {first}…. Delete {record} to accept "
        "the change.",
        url=address_of(file), found=found[:16], first=first.start[:16], record=record,
    )  # fmt: skip


def page(file: RemoteFile) -> Message:
    return _(
        "{url} answers with a web page or a placeholder, not with the file. Check the address, or whether this network asks for a login.",
        url=address_of(file),
    )  # fmt: skip


def refusal(reply: Reply, file: RemoteFile) -> Message:
    url, status = address_of(file), reply.status
    if file.repo and status in (401, 403):
        if environment.mirror() is not None:
            return _("{url} refuses the file (HTTP {status}). plusx sends no token to a mirror; unset HF_ENDPOINT for a private or gated "
                     "repository.", url=url, status=status)  # fmt: skip
        if environment.token() is None:
            return _("{url} refuses the file (HTTP {status}). Check the name, or set HF_TOKEN if the repository is private or gated.",
                     url=url, status=status)  # fmt: skip
        return _("{url} refuses the file (HTTP {status}). Check that the token's account may read the repository.",
                 url=url, status=status)  # fmt: skip
    return _("{url} refuses the file (HTTP {status}). Check the address.", url=url, status=status)
