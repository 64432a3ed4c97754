"""Addresses of files: paths, and those of other systems, as s3://bucket/folder, opened by pyarrow or by fsspec."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from plusx.errors import DataError, RunError
from plusx.i18n import _
from plusx.runtime.quiet import missing

T = TypeVar("T")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
TRIES = 4
"""How often an object store is asked, with pauses of 0.5, 1 and 2 s between."""


def is_remote(address: str) -> bool:
    """Whether it is an address of another system, as s3://bucket/folder, and not a path.

    >>> is_remote("s3://bucket/a"), is_remote("photos/"), is_remote("C:/photos")
    (True, False, False)
    """
    return _REMOTE.match(address) is not None


def split_address(address: str) -> tuple[str, str]:
    """The folder of a file, and its name there.

    >>> split_address("s3://bucket/a/b.jpg"), split_address("b.jpg")
    (('s3://bucket/a', 'b.jpg'), ('.', 'b.jpg'))
    """
    if is_remote(address):
        folder, _slash, name = address.rpartition("/")
        return folder, name
    return str(Path(address).parent), Path(address).name


def file_system(address: str) -> tuple[Any, str]:
    """pyarrow's file system of an address, and the path in it. Raises DataError, MissingExtra."""
    scheme, _colon, rest = address.partition("://")
    system = _system(scheme.lower(), rest.partition("/")[0])
    return (system, rest) if scheme.lower() != "file" else (system, f"/{rest.lstrip('/')}")


@cache
def _system(scheme: str, host: str) -> Any:
    try:
        from pyarrow import fs
    except ImportError as error:
        raise missing("pyarrow", error) from error
    try:
        if scheme == "s3":  # the bucket's region is asked for where the environment names none
            return fs.FileSystem.from_uri(f"s3://{host}")[0]
        return fs.FileSystem.from_uri(f"{scheme}://{host}/")[0]
    except (ValueError, OSError, NotImplementedError) as error:
        try:
            import fsspec

            return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))
        except (ImportError, ValueError):
            raise DataError(
                _(
                    "{address} cannot be opened ({reason}). Write a path, or an address like s3://bucket/folder.",
                    address=f"{scheme}://{host}", reason=_first_line(error),
                )
            ) from error  # fmt: skip


def asked(call: Callable[[], T], address: str) -> T:
    """What the call gives, after as many tries as an object store deserves.

    Raises FileNotFoundError and PermissionError at once, and RunError after the last try.
    """
    for tries in range(TRIES):
        try:
            return call()
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except OSError as error:
            if tries == TRIES - 1 or error.errno == errno.ENOSPC or _is_final(str(error)):
                raise RunError(
                    _(
                        "{address} could not be reached ({reason}). Check the address and the access to it, and run the same "
                        "command again. What is complete is kept.",
                        address=address, reason=_first_line(error),
                    )
                ) from error  # fmt: skip
            time.sleep(0.5 * 2**tries)
    raise AssertionError  # the last try returns or raises


def _is_final(text: str) -> bool:
    """Whether asking again is of no use: S3 says so in words only."""
    return any(
        word in text
        for word in ("NO_SUCH_BUCKET", "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH")
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
