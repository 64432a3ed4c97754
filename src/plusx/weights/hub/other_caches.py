"""Files that other libraries have downloaded already: where torch, huggingface_hub, ModelScope and Keras keep a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plusx.weights.hub import environment
from plusx.weights.hub.remote import Digest, RemoteFile

MOST_REF = 256


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache of `owner`, and the hash under which that library keeps it, if it does."""

    path: Path
    owner: str
    digest: Digest | None = None
    commit: str = ""


def cached_files(file: RemoteFile, is_hash_published: bool) -> Iterator[CachedFile]:
    """The copies of the file that other libraries have.

    torch and Keras keep files under the last part of their address, which others may share: they count where a hash is published.
    """
    if file.repo:
        yield from _of_hugging_face(file)
        yield from _of_modelscope(file)
    if is_hash_published:
        folders = {"torch": environment.torch_checkpoints(), "Keras": environment.keras_models()}
        for owner, folder in folders.items():
            if folder is not None and (folder / file.basename).is_file():
                yield CachedFile(folder / file.basename, owner)


def _of_hugging_face(file: RemoteFile) -> Iterator[CachedFile]:
    """huggingface_hub's layout: refs/REVISION names a commit, snapshots/COMMIT/FILE links to blobs/HASH."""
    base = environment.hf_cache()
    if base is None:
        return
    folder = base / f"models--{file.repo.replace('/', '--')}"
    commit = file.revision
    try:
        ref = folder / "refs" / file.revision
        if ref.is_file() and ref.stat().st_size <= MOST_REF:
            commit = ref.read_text(encoding="ascii").strip()
        path = folder / "snapshots" / commit / file.path
        if re.fullmatch(r"[\w.-]+", commit) and path.is_file():
            blob = path.resolve().name
            digest = Digest("sha256", blob) if re.fullmatch(r"[0-9a-f]{64}", blob) else None
            yield CachedFile(path, "huggingface_hub", digest, commit)
    except (OSError, ValueError):
        return


def _of_modelscope(file: RemoteFile) -> Iterator[CachedFile]:
    """ModelScope's layout: ORGANISATION/NAME/FILE, with ___ for each dot of the name; it does not tell revisions apart."""
    owner, _slash, name = file.repo.partition("/")
    if file.revision != "main":
        return
    for base in environment.modelscope_caches():
        for folder in dict.fromkeys((name, name.replace(".", "___"))):
            path = base / owner / folder / file.path
            if path.is_file():
                yield CachedFile(path, "ModelScope")
