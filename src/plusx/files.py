"""Files from outside are regular files of a known size, and any text can be written as JSON."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

from plusx.i18n import _, visible


def expanded(path: Path | str) -> Path:
    """The path with ~ and ~user replaced; unchanged where the system knows no such user, so it is just not found.

    >>> expanded("~no such user/x").name
    'x'
    """
    return Path(os.path.expanduser(path))


def open_regular(path: Path | str) -> io.BufferedReader:
    """A regular file, open for reading bytes. Raises OSError, also for a pipe or a device, which is not waited for."""
    # O_NONBLOCK: to open a pipe would wait for a writer
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        reason = os.strerror(errno.EISDIR) if stat.S_ISDIR(about.st_mode) else _("it is not a regular file")
        raise OSError(errno.EISDIR if stat.S_ISDIR(about.st_mode) else errno.EINVAL, reason, str(path))
    return open(handle, "rb")


def read_regular(path: Path | str, most: int | None = None) -> bytes:
    """The bytes of a regular file of at most `most` bytes. Raises OSError; its strerror says why, in words."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            why = _("it has {size} bytes, and at most {most} are read", size=size, most=most)
            raise OSError(errno.EFBIG, why, str(path))
        return file.read(size)  # without a size, or with a larger one, more memory would be taken first


def json_text(value: Any, indent: int | None = None, *, allow_nan: bool = True) -> str:
    """`value` as JSON: valid UTF-8 and nothing a terminal obeys, whatever the names of files and classes in it are.

    >>> json_text({"path": "猫 caf\\udce9"})
    '{"path": "\\\\u732b caf\\\\udce9"}'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=allow_nan)
    plain = text if indent is None else text.replace("\n", "")
    return text if visible(plain) == plain else json.dumps(value, indent=indent)
