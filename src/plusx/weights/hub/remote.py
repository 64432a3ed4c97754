"""A file on the web: its address, its place in the cache, and hashes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from plusx import settings

HUB = "https://huggingface.co"
MOST_NAME = 120
"""Characters of one part of a path; a longer one is replaced by its hash."""
_RESOLVE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z.]+")
HASHES_IN_NAMES = ("download.pytorch.org", "download.openmmlab.com")
"""Hosts whose files end their names with the beginning of their sha256 (torch.hub; OpenMMLab's publish_model.py)."""


@dataclass(frozen=True)
class Digest:
    """A hash or its beginning, in lower-case hexadecimal digits."""

    kind: Literal["sha256", "md5"]
    start: str

    def fits(self, path: Path, sha256: str) -> bool:
        """Whether a file has this hash; its sha256 is known already."""
        return (sha256 if self.kind == "sha256" else hash_of(path, self.kind)).startswith(self.start)

    @property
    def whole(self) -> bool:
        return len(self.start) == hashlib.new(self.kind, usedforsecurity=False).digest_size * 2

    def __str__(self) -> str:
        return f"{self.kind} {self.start}{'' if self.whole else '…'}"


def hash_of(path: Path, kind: str = "sha256") -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


@dataclass(frozen=True)
class RemoteFile:
    """A file at `url`; `repo`, `revision` and `path` where it is one of Hugging Face's hub, at whichever endpoint."""

    url: str
    repo: str = ""
    revision: str = ""
    path: str = ""

    @property
    def basename(self) -> str:
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    @property
    def place(self) -> Path:
        """Where the file lies in plusx's cache. Files of different addresses never share one."""
        parts = urlsplit(self.url)
        names = [parts.netloc, *(part for part in parts.path.split("/") if part)]
        if parts.query:
            names[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:16]}-{names[-1]}"
        return settings.cache_dir().joinpath("weights", *map(_file_name, names))

    @property
    def digest(self) -> Digest | None:
        """The hash that the file's name has, where its host is known to put one there."""
        found = _HASH_IN_NAME.search(self.basename)
        known = urlsplit(self.url).hostname in HASHES_IN_NAMES
        return Digest("sha256", found[1]) if found and known else None


def _file_name(part: str) -> str:
    name = quote(unquote(part), safe=" @+=~-_.")
    if len(name) > MOST_NAME:
        name = hashlib.sha256(name.encode()).hexdigest()
    return f"%2E{name[1:]}" if name.startswith(".") else name


def hub_file(repo: str, path: str, revision: str = "main") -> RemoteFile:
    """A file of a repository on Hugging Face's hub."""
    return RemoteFile(f"{HUB}/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}", repo, revision, path)


def web_file(url: str) -> RemoteFile:
    """The file at an address; one of Hugging Face's hub is recognised, so that mirrors and caches apply to it."""
    found = _RESOLVE.fullmatch(urlsplit(url).path) if url.startswith(f"{HUB}/") else None
    return hub_file(found[1], unquote(found[3]), unquote(found[2])) if found else RemoteFile(url)
