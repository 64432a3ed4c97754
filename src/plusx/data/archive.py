"""The members of a tar archive, front to back, compressed or not. Headers are read; nothing is unpacked to disk.

The header walk is plusx's own (POSIX.1-2017, pax, "ustar Interchange Format", and GNU's long names): it gives offsets, takes
no more memory than a name, follows no link and makes no file.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from plusx.errors import DataError
from plusx.i18n import _

_BLOCK = 512
_PIECE = 1 << 20
MAX_RATIO, _SPARE = 100, 64 << 20
"""Bytes that may come out of a compressed byte, beyond the first 64 MB. Images are compressed already; the padding of
archives of tiny images comes to 10."""
_MAX_EXTENSION = 1 << 16  # a long name, or what pax adds
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_OPENERS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),  # type: ignore[dict-item]
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}


class ArchiveStream:
    """Bytes read forward, and from anywhere where `total`, their number, is known. Its errors are DataErrors."""

    def __init__(self, file: IO[bytes], total: int | None, packed: IO[bytes] | None = None) -> None:
        self.file, self.total, self.at, self.packed = file, total, 0, packed

    def read(self, size: int) -> bytes:
        """At most `size` bytes; less at the end alone."""
        try:
            raw = self.file.read(size)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise DataError(_("the data cannot be read or decompressed after byte {at}", at=self.at)) from error
        self.at += len(raw)
        if self.packed is not None and self.at > _SPARE + MAX_RATIO * self.packed.tell():
            raise DataError(_("it unpacks to more than {ratio} times its size", ratio=MAX_RATIO))
        return raw

    def exactly(self, size: int) -> bytes:
        """`size` bytes. What a header claims is asked for in pieces, so a claim alone takes no memory."""
        pieces: list[bytes] = []
        end = self.at + size
        while self.at < end:
            pieces.append(self.read(min(_PIECE, end - self.at)))
            if not pieces[-1]:
                raise DataError(_("it is cut short, at byte {end} of at least {needed}", end=self.at, needed=end))
        return b"".join(pieces)

    def seek_to(self, at: int) -> None:
        """Moves to byte `at`; forward only where the total is unknown."""
        if self.total is None:
            while self.at < at:
                if not self.read(min(_PIECE, at - self.at)):
                    raise DataError(_("it is cut short, at byte {end} of at least {needed}", end=self.at, needed=at))
            return
        if at > self.total:
            raise DataError(_("it is cut short, at byte {end} of at least {needed}", end=self.total, needed=at))
        self.file.seek(at)
        self.at = at


@contextlib.contextmanager
def open_stream(path: Path) -> Iterator[ArchiveStream]:
    """A file, decompressed while it is read if it is gzip, bzip2 or xz; pipes too. Raises DataError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(_("it cannot be read ({reason})", reason=error.strerror)) from error
    with file:
        about = os.fstat(file.fileno())
        kind = compression(file.peek(8))
        if kind is None:
            yield ArchiveStream(file, about.st_size if stat.S_ISREG(about.st_mode) else None)
        elif kind in _OPENERS:
            with _OPENERS[kind](file) as plain:
                yield ArchiveStream(plain, None, file if stat.S_ISREG(about.st_mode) else None)
        else:
            raise DataError(
                _("it is compressed with {kind}, which plusx does not read (decompress it first)", kind=kind)
            )


def compression(head: bytes) -> str | None:
    """What a file that begins so is compressed with: gzip, bzip2, xz, zstd; None for anything else."""
    return next((kind for magic, kind in _COMPRESSIONS.items() if head.startswith(magic)), None)


def members(stream: ArchiveStream) -> Iterator[tuple[str, int, int]]:
    """(name, offset, size) of the regular files. Links, devices and folders are skipped.

    The bytes may be read from the stream before the next is asked for. Raises DataError where the archive is not complete.
    """
    at, long_name, long_size = 0, None, None
    while True:
        stream.seek_to(at)
        head = stream.read(_BLOCK)
        if len(head) < _BLOCK:
            raise DataError(_("it is cut short, without an end mark at byte {at}", at=at))
        if not head.strip(b"\0"):  # the end; what follows is padding
            return
        if not is_header(head):
            raise DataError(_("byte {at} does not begin a tar header", at=at))
        kind, size = head[156:157], _number(head[124:136])
        start = at + _BLOCK
        if kind in (b"x", b"g", b"L", b"K"):
            if not 0 <= size <= _MAX_EXTENSION:
                raise DataError(
                    _(
                        "the name at byte {at} has {size} bytes, and at most {most} are read",
                        size=size,
                        at=at,
                        most=_MAX_EXTENSION,
                    )
                )
            body = stream.exactly(size)
            if kind == b"L":
                long_name = body.split(b"\0")[0].decode("utf-8", "surrogateescape")
            elif kind == b"x":
                pairs = _pax(body)
                long_name = pairs.get("path", long_name)
                long_size = _whole(pairs["size"]) if "size" in pairs else long_size
        else:
            size = size if long_size is None else long_size
            # links say a size now and then, and have no bytes (POSIX: size 0 for all but regular files)
            size = 0 if kind in (b"1", b"2", b"3", b"4", b"5", b"6") else size
            if size < 0:
                raise DataError(_("the size at byte {at} is not a number", at=at))
            if stream.total is not None and start + size > stream.total:
                raise DataError(
                    _("it is cut short, at byte {end} of at least {needed}", end=stream.total, needed=start + size)
                )
            if kind in (b"0", b"\0", b"7"):
                yield long_name if long_name is not None else _name(head), start, size
            long_name = long_size = None
        at = start + -(-size // _BLOCK) * _BLOCK


def is_header(head: bytes) -> bool:
    """Whether 512 bytes are a tar header: its checksum is right."""
    if len(head) < _BLOCK:
        return False
    return _number(head[148:156]) == sum(head) - sum(head[148:156]) + 8 * 32


def _number(raw: bytes) -> int:
    """Octal digits, or GNU's base 256; -1 for anything else."""
    if raw[0] in (0x80, 0xFF):
        return int.from_bytes(raw[1:], "big") if raw[0] == 0x80 else -1
    return _whole(raw.split(b"\0")[0].strip().decode("latin-1") or "0", 8)


def _whole(text: str, base: int = 10) -> int:
    allowed = "01234567" if base == 8 else "0123456789"
    return int(text, base) if text and len(text) < 20 and all(c in allowed for c in text) else -1


def _pax(body: bytes) -> dict[str, str]:
    """Records "LENGTH key=value\\n"; what does not fit ends the reading."""
    found: dict[str, str] = {}
    at = 0
    while at < len(body):
        digits = body[at : at + 20].partition(b" ")[0]
        length = _whole(digits.decode("latin-1"))
        record = body[at + len(digits) + 1 : at + max(length, 0)]
        if not record.endswith(b"\n"):
            break
        key, _, value = record[:-1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at += length
    return found


def _name(head: bytes) -> str:
    name = head[:100].split(b"\0")[0]
    prefix = head[345:500].split(b"\0")[0] if head[257:262] == b"ustar" and head[263:265] == b"00" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")
