"""IDX, the format of MNIST's files: magic, dimensions, bytes. Read exactly or refused."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plusx.errors import DataError
from plusx.files import open_regular
from plusx.i18n import _

_UBYTE = 0x08
_MAX_BYTES = 1 << 31  # 2 GiB of pixels: 2.7 million MNIST images; a gzip bomb ends here
_PIECE = 1 << 22


def parse_idx(raw: bytes, name: str) -> NDArray[np.uint8]:
    """The uint8 array in `raw`: two zero bytes, type 0x08, rank, rank big-endian sizes, then exactly that many bytes.

    Raises DataError, naming `name`, for another magic, another type, or a length that disagrees with the sizes.
    """
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise DataError(
            _(
                "{name} is not an IDX file: it begins with {start} instead of 000008. Get the file again.",
                name=name,
                start=raw[:4].hex() or _("nothing"),
            )
        )
    kind, rank = raw[2], raw[3]
    if kind != _UBYTE or not 1 <= rank <= 4:
        raise DataError(
            _(
                "{name} has IDX type 0x{kind:02x} and {rank} dimensions. Give a file of bytes (type 0x08) with 1 to 4 dimensions.",
                kind=kind,
                rank=rank,
                name=name,
            )
        )
    head = 4 + 4 * rank
    if len(raw) < head:
        raise DataError(
            _(
                "{name} is cut short: it has {n} of the {head} bytes of its header. Get the file again.",
                name=name,
                n=len(raw),
                head=head,
            )
        )
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    expected = head
    size = 1
    for side in shape:
        size *= side
    expected += size
    if len(raw) != expected:
        words = "x".join(map(str, shape))
        raise DataError(
            _(
                "{name} has {n} bytes, but an IDX file of {shape} has {expected}. Get the file again.",
                name=name,
                n=len(raw),
                shape=words,
                expected=expected,
            )
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=head).reshape(shape)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file, gzipped or not (detected from its first bytes). Raises DataError."""
    return parse_idx(read_bounded(path), path.name)


def read_bounded(path: Path) -> bytes:
    """A file's bytes, unzipped if gzipped, at most 2 GiB. Raises DataError."""
    try:
        if not path.is_file():
            raise DataError(_("{path} is not a regular file. Copy its content into one.", path=path))
        with open_regular(path) as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            if not zipped:
                raw = _read(plain)
            else:
                with gzip.GzipFile(fileobj=plain) as packed:
                    raw = _read(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(_("{path} cannot be read or decompressed. Get the file again.", path=path)) from error
    if len(raw) > _MAX_BYTES:
        raise DataError(
            _("{name} holds more than {most} bytes. Split it into several files.", name=path.name, most=_MAX_BYTES)
        )
    return raw


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _read(file: _Readable) -> bytes:
    """At most one byte more than the cap, piece by piece: read(n) takes n bytes of memory before it reads one."""
    out = bytearray()
    while len(out) <= _MAX_BYTES and (piece := file.read(min(_PIECE, _MAX_BYTES + 1 - len(out)))):
        out += piece
    return bytes(out)
