"""Tar shards with WebDataset's names: key.jpg beside key.cls, key.json or key.txt, one after the other."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from plusx.data.archive import ArchiveStream, members, open_stream
from plusx.data.dataset import Skipped
from plusx.data.parts import is_label, one_line
from plusx.data.shards import ShardListing
from plusx.errors import DataError
from plusx.i18n import _
from plusx.images import SUFFIXES

_MAX_LABEL_BYTES = 1 << 16
_LABELS = ("cls", "json", "txt")  # the first that is there counts
_JSON_KEYS = ("label", "cls", "class", "class_name", "category")
_CONTROL = {chr(i) for i in range(32)} | {"\x7f"}


@dataclass
class _TarSample:
    key: str
    images: list[tuple[str, int, int]] = field(default_factory=list)
    labels: dict[str, tuple[int, int]] = field(default_factory=dict)


def list_tar(path: Path, cache: Path | None = None) -> ShardListing:
    """The labelled images of a tar file. Raises DataError for what is not a tar file, is compressed, or is cut short."""
    out = ShardListing(path, [], [], [], [], [])
    try:
        with open_stream(path) as stream:
            if stream.total is None:
                raise DataError(
                    _("it is compressed or a pipe, so images in the middle cannot be read (decompress it first)")
                )
            for sample in _samples(stream, out.skipped):
                _add(out, sample, stream)
    except DataError as error:
        raise DataError(
            _(
                "{path} cannot be read as a tar file: {reason}. Get it again, or create it again.",
                path=path,
                reason=error.message,
            )
        ) from error
    return out


def _add(out: ShardListing, sample: _TarSample, stream: ArchiveStream) -> None:
    if not sample.images:
        if sample.labels:
            out.skipped.append(Skipped(one_line(sample.key), _("it is a label without an image")))
        return
    name, start, size = sample.images[0]  # what follows is a mask, a depth map, a thumbnail
    try:
        out.add(one_line(name), _label(sample, stream), start, size)
    except DataError as error:
        out.skipped.append(Skipped(one_line(name), error.message))


def _label(sample: _TarSample, stream: ArchiveStream) -> str:
    kind = next((kind for kind in _LABELS if kind in sample.labels), None)
    if kind is None:
        raise DataError(_("it has no label beside it (.{endings})", endings=", .".join(_LABELS)))
    start, size = sample.labels[kind]
    if size > _MAX_LABEL_BYTES:
        raise DataError(
            _(
                "its label has {size} bytes, and at most {most} are read",
                size=size,
                most=_MAX_LABEL_BYTES,
            )
        )
    stream.seek_to(start)
    try:
        text = stream.exactly(size).decode("utf-8").strip()
        label = _from_json(text) if kind == "json" else text
    except (ValueError, RecursionError) as error:
        raise DataError(_("its .{kind} cannot be read", kind=kind)) from error
    if kind == "cls" and not label.lstrip("-").isdecimal():
        raise DataError(_("its .cls is not a whole number ({label!r})", label=one_line(label[:40])))
    if not is_label(label):
        raise DataError(_("its .{kind} does not hold a class name of one line", kind=kind))
    return label


def _from_json(text: str) -> str:
    found = json.loads(text)
    value = next((found[key] for key in _JSON_KEYS if key in found), None) if isinstance(found, dict) else found
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(
            _(
                "its .json has no {keys} that is text or a whole number",
                keys=", ".join(_JSON_KEYS),
            )
        )
    return str(value)


def _samples(stream: ArchiveStream, skipped: list[Skipped]) -> Iterator[_TarSample]:
    """Files with one key that follow each other. The key ends at the first dot of the file's own name."""
    sample = _TarSample("")
    for name, start, size in members(stream):
        if name.startswith("/") or ".." in name.split("/") or _CONTROL & set(name):
            skipped.append(Skipped(one_line(name), _("its name leads out of the archive, or holds control characters")))
            continue
        folder, _slash, base = name.removeprefix("./").rpartition("/")
        stem, dot, ending = base.partition(".")
        if not stem or not dot:
            continue
        key = f"{folder}/{stem}" if folder else stem
        if key != sample.key:
            yield sample
            sample = _TarSample(key)
        ending = ending.lower()
        if os.path.splitext(base)[1].lower() in SUFFIXES:
            sample.images.append((name.removeprefix("./"), start, size))
        elif ending in _LABELS:
            sample.labels[ending] = (start, size)
    yield sample
