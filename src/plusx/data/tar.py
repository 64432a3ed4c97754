"""Tar shards with WebDataset's names (key.jpg beside key.cls, key.json or key.txt). Headers are read; nothing is unpacked.

The header walk is plusx's own (POSIX.1-2017, pax, "ustar Interchange Format", and GNU's long names): it gives offsets, takes
no more memory than the names, follows no link and makes no file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from plusx.data.dataset import Skipped
from plusx.data.parts import one_line
from plusx.data.shards import Listing
from plusx.errors import DataError

_BLOCK = 512
_MAX_EXTENSION = 1 << 16  # a long name, or what pax adds
_MAX_LABEL = 1 << 16
_LABELS = ("cls", "json", "txt")  # the first that is there counts
_JSON_KEYS = ("label", "cls", "class", "class_name", "category")
_CONTROL = {chr(i) for i in range(32)} | {"\x7f"}


@dataclass
class _Sample:
    key: str
    pictures: list[tuple[str, int, int]] = field(default_factory=list)
    labels: dict[str, tuple[int, int]] = field(default_factory=dict)


def list_tar(path: Path, cache: Path | None = None) -> Listing:
    """The labelled pictures of a tar file. Raises DataError for what is no tar, is packed, or is cut short."""
    out = Listing(path, [], [], [], [], [])
    try:
        with path.open("rb") as file:
            for sample in _samples(file, path, out.skipped):
                _add(out, sample, file)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); check it") from error
    return out


def _add(out: Listing, sample: _Sample, file: BinaryIO) -> None:
    shown = one_line(sample.key)
    if not sample.pictures:
        if sample.labels:
            out.skipped.append(Skipped(shown, "a label without a picture"))
        return
    name, start, size = sample.pictures[0]
    here = file.tell()
    try:
        label = _label(sample, file)
    except DataError as error:
        out.skipped.append(Skipped(one_line(name), str(error)))
        return
    finally:
        file.seek(here)
    for column, value in zip(
        (out.names, out.labels, out.starts, out.sizes), (one_line(name), label, start, size), strict=True
    ):
        column.append(value)  # type: ignore[arg-type]


def _label(sample: _Sample, file: BinaryIO) -> str:
    kind = next((kind for kind in _LABELS if kind in sample.labels), None)
    if kind is None:
        raise DataError(f"no label beside it (.{', .'.join(_LABELS)})")
    start, size = sample.labels[kind]
    if size > _MAX_LABEL:
        raise DataError(f"a label of {size} bytes, more than the cap of {_MAX_LABEL}")
    file.seek(start)
    try:
        text = file.read(size).decode("utf-8").strip()
        label = _from_json(text) if kind == "json" else text
    except (ValueError, RecursionError) as error:
        raise DataError(f"its .{kind} cannot be read") from error
    if kind == "cls" and not label.lstrip("-").isdecimal():
        raise DataError(f"its .cls is no whole number ({one_line(label[:40])!r})")
    if not label or len(label) > 200 or not label.isprintable():
        raise DataError(f"its .{kind} holds no class name of one line")
    return label


def _from_json(text: str) -> str:
    found = json.loads(text)
    value = next((found[key] for key in _JSON_KEYS if key in found), None) if isinstance(found, dict) else found
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"its .json has no label (one of: {', '.join(_JSON_KEYS)}) that is text or a whole number")
    return str(value)


def _samples(file: BinaryIO, path: Path, skipped: list[Skipped]) -> Iterator[_Sample]:
    """Files with one key that follow each other. The key ends at the first dot of the file's own name."""
    from plusx.images import SUFFIXES

    sample = _Sample("")
    for name, start, size in _members(file, path):
        if name.startswith("/") or ".." in name.split("/") or _CONTROL & set(name):
            skipped.append(Skipped(one_line(name), "its name leads out of the archive, or holds control characters"))
            continue
        folder, _, base = name.removeprefix("./").rpartition("/")
        stem, dot, ending = base.partition(".")
        if not stem or not dot:
            continue
        key = f"{folder}/{stem}" if folder else stem
        if key != sample.key:
            yield sample
            sample = _Sample(key)
        ending = ending.lower()
        if os.path.splitext(base)[1].lower() in SUFFIXES:
            sample.pictures.append((name.removeprefix("./"), start, size))
        elif ending in _LABELS:
            sample.labels[ending] = (start, size)
    yield sample


def _members(file: BinaryIO, path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, offset, size) of the regular files. Links, devices and folders are passed over."""
    total = os.fstat(file.fileno()).st_size
    at, long_name, long_size = 0, None, None
    while at + _BLOCK <= total:
        file.seek(at)
        head = file.read(_BLOCK)
        if not head.strip(b"\0"):  # the end; what follows is padding
            return
        if not is_header(head):
            raise DataError(f"{path} is not a whole tar file (no header at byte {at}); make it again, without gzip")
        kind, size = head[156:157], _number(head[124:136])
        start = at + _BLOCK
        if kind in b"xgLK" and kind:
            if not 0 <= size <= min(_MAX_EXTENSION, total - start):
                raise DataError(
                    f"{path} has a name of {size} bytes at byte {at}, more than the cap of {_MAX_EXTENSION}"
                )
            body = file.read(size)
            if kind == b"L":
                long_name = body.split(b"\0")[0].decode("utf-8", "surrogateescape")
            elif kind == b"x":
                pairs = _pax(body)
                long_name = pairs.get("path", long_name)
                long_size = _whole(pairs["size"]) if "size" in pairs else long_size
        else:
            size = size if long_size is None else long_size
            # links say a size now and then, and have no bytes (POSIX: size 0 for all but regular files)
            size = size if kind not in b"123456" or kind == b"" else 0
            if size < 0 or start + size > total:
                raise DataError(f"{path} is cut short: {size} bytes at byte {start} of {total}; fetch it again")
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
    while body:
        length = _whole(body[:20].partition(b" ")[0].decode("latin-1"))
        record = body[: max(length, 0)].partition(b" ")[2]
        if not record.endswith(b"\n"):
            break
        key, _, value = record[:-1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        body = body[length:]
    return found


def _name(head: bytes) -> str:
    name = head[:100].split(b"\0")[0]
    prefix = head[345:500].split(b"\0")[0] if head[257:262] == b"ustar" and head[263:265] == b"00" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")
