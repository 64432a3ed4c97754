"""Directories that are either complete or absent: written aside, flushed, fsynced, renamed.

A directory carries one JSON document (its manifest) that lists every other file with size and sha256, and a sha256 of
itself. `NAME` is replaced in two renames (NAME → .NAME.old, .NAME.new → NAME); `restore_old` undoes the half step that a
kill between them leaves, so the old one is there until the new one is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from plusx.errors import BundleError, RunError
from plusx.files import json_text, read_regular
from plusx.i18n import _

Json = dict[str, Any]
MOST_MANIFEST = 64 << 20
_DIGEST = "sha256_of_the_rest"


class NewerFormatError(BundleError):
    """A file in the format of a newer plusx: it is not damaged."""


def manifest_bytes(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """The manifest as JSON bytes, with "files" (name → bytes, sha256) and the hash of its own content added."""
    return sealed_bytes({**manifest, "files": {name: file_entry(content) for name, content in sorted(files.items())}})


def file_entry(content: bytes) -> Json:
    """What a manifest lists of a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def sealed_bytes(content: Mapping[str, Any]) -> bytes:
    """JSON bytes with the hash of their own content, in place of one that `content` has."""
    rest = {key: value for key, value in content.items() if key != _DIGEST}
    return f"{json_text({**rest, _DIGEST: _digest(rest)}, 1, allow_nan=False)}\n".encode()


def write_dir(target: Path, manifest_name: str, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write `files` and their sealed manifest as the directory `target`, replacing one that is there.

    Raises RunError when the disk is full or refuses; what was at `target` is unchanged then.
    """
    new, old = aside(target, "new"), aside(target, "old")
    everything = {**files, manifest_name: manifest_bytes(manifest, files)}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        restore_old(target)
        for leftover in (new, old):
            _remove(leftover)
        new.mkdir()
        for name, content in everything.items():
            _write_file(path_inside(new, name), content)
        for folder in sorted({path_inside(new, name).parent for name in everything} | {new}):
            _sync_dir(folder)
        if target.exists():
            _rename(target, old)
        _rename(new, target)
        _sync_dir(target.parent)
        _remove(old)
    except OSError as error:
        with contextlib.suppress(OSError):  # the half-written copy is of no use; failing to remove it loses nothing
            restore_old(target)
            _remove(new)
        raise disk_error(target, error) from error


def restore_old(target: Path) -> None:
    """Puts the old directory back if a writer was killed between its two renames."""
    old = aside(target, "old")
    if old.is_dir() and not target.exists():
        _rename(old, target)


def current_location(target: Path) -> Path:
    """Where the directory `target` is now: itself, or the old one of a writer killed between its two renames."""
    old = aside(target, "old")
    return old if old.is_dir() and not target.exists() else target


def write_file(path: Path, content: bytes) -> None:
    """Write one file aside, fsync, rename. Raises RunError."""
    new = aside(path, "new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_file(new, content)
        _rename(new, path)
        _sync_dir(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def read_manifest(folder: Path, manifest_name: str, schema: str) -> Json:
    """The manifest of `folder`, its own hash and schema ("plusx.bundle/1") checked. Raises BundleError."""
    path = folder / manifest_name
    found = read_sealed(path, schema)
    files = found.get("files")
    if not isinstance(files, dict) or not all(_is_entry(name, entry) for name, entry in files.items()):
        raise BundleError(_("{path} has no valid list of files. Use another copy.", path=path))
    return found


def read_sealed(path: Path, schema: str) -> Json:
    """A JSON object of that schema whose own hash is right. Raises BundleError."""
    found = read_json(path, schema)
    if found.get(_DIGEST) != _digest(found):
        raise BundleError(_("{path} was changed after it was written. Use another copy.", path=path))
    return found


def read_json(path: Path, schema: str) -> Json:
    """A JSON object whose "schema" is `schema`. Raises BundleError: missing, damaged, another kind, or newer."""
    try:
        raw = read_regular(path, MOST_MANIFEST)
    except OSError as error:
        raise BundleError(
            _("{path} cannot be read ({reason}). Give the folder of a bundle or run.", path=path, reason=error.strerror)
        ) from error
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            _("{path} is damaged (not JSON, {n} bytes). Use another copy.", path=path, n=len(raw))
        ) from error
    kind, _slash, version = schema.partition("/")
    said = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(said, str) or said.partition("/")[0] != kind:
        raise BundleError(
            _(
                "{path} has the schema {said!r} instead of {schema!r}. Give another file.",
                path=path,
                said=said,
                schema=schema,
            )
        )
    if said != schema:
        number = said.partition("/")[2]
        newer = number.isdecimal() and int(number) > int(version)
        if newer:
            raise NewerFormatError(
                _(
                    "{path} has the schema {said!r}, which is newer than this plusx. Upgrade plusx.",
                    path=path,
                    said=said,
                )
            )
        raise BundleError(_("{path} has the unknown schema {said!r}. Use another copy.", path=path, said=said))
    return found


def check_sizes(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare every listed file's size, which takes no time. Raises BundleError that names the first that differs."""
    for name, entry in files.items():
        path = path_inside(folder, name)
        try:
            if not path.is_file():
                raise BundleError(_("{path} is missing. Use another copy.", path=path))
            size = path.stat().st_size
        except OSError as error:
            raise BundleError(
                _("{path} cannot be read ({reason}). Use another copy.", path=path, reason=error.strerror)
            ) from error
        if size != entry["bytes"]:
            raise BundleError(
                _(
                    "{path} is damaged ({size} bytes instead of {written}). Use another copy.",
                    path=path,
                    size=size,
                    written=entry["bytes"],
                )
            )


def disk_error(path: Path, error: OSError) -> RunError:
    """The one line for a write that failed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            _(
                "The disk is full, so {path} was not written. Free some space. What was there before is unchanged.",
                path=path,
            )
        )
    if error.errno == errno.EFBIG:
        return RunError(_("{path} is larger than this process may write. Raise the limit (ulimit -f).", path=path))
    return RunError(
        _(
            "{path} cannot be written ({reason}). Choose another place.",
            path=path,
            reason=error.strerror or error,
        )
    )


def remove_dir(folder: Path) -> None:
    """Remove a directory so that a kill half way leaves no half directory under its name. Raises RunError."""
    gone = aside(folder, "gone")
    try:
        _remove(gone)
        _rename(folder, gone)
        _remove(gone)
    except OSError as error:
        raise disk_error(folder, error) from error


def is_leftover(path: Path, target: Path) -> bool:
    """Whether `path` is what a writer of `target` that was killed left: half written, half removed, or its lock."""
    return path in (aside(target, "new"), aside(target, "gone"), aside(target, "lock"))


def remove_leftovers(parent: Path, pattern: str) -> None:
    """Remove what killed writers of `parent`/`pattern` left: half copies, and old ones that were replaced.

    Raises RunError. No other process may write there at the same time.
    """
    for kind in ("new", "gone", "old"):
        for path in parent.glob(f".{pattern}.{kind}"):
            target = path.with_name(path.name[1 : -len(kind) - 1])
            if kind == "old" and not target.exists():
                continue
            try:
                _remove(path)
            except OSError as error:
                raise disk_error(path, error) from error


def aside(target: Path, what: str) -> Path:
    """The hidden name beside `target` of what writers put there."""
    whole = target if target.name else target.resolve()  # "" and "." have no name, and the root never has one
    return whole.parent / f".{whole.name}.{what}"


def _digest(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != _DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _is_entry(name: object, entry: object) -> bool:
    if not isinstance(name, str) or not isinstance(entry, dict):
        return False
    return isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)


def path_inside(folder: Path, name: str) -> Path:
    """folder / name, refused when it would leave the folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise BundleError(
            _("The file name {name!r} leads out of {folder}. Use another copy.", name=name, folder=folder)
        )
    return folder.joinpath(*parts)


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        _fsync(file.fileno())


# The system calls that durability depends on have names of their own, so that tests can stop a writer at each.
_fsync: Callable[[int], None] = os.fsync
_rename: Callable[[Path, Path], None] = os.replace


def _sync_dir(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a directory, nor does it need to
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _fsync(handle)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
