"""Folders of pictures: finding classes, indexing every picture once, keeping the index for the next start."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plusx.data.dataset import Data, Skipped, fingerprint
from plusx.data.indexing import each
from plusx.errors import DataError

Progress = Callable[[int, int], None]  # done, of how many

# pictures to the eye, but formats images/ does not read: worth a row in skipped.csv, where a README is not
_OTHER_PICTURES = frozenset((".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".svg", ".raw", ".cr2", ".nef", ".dng"))
_LITTER = frozenset(("__MACOSX", "__pycache__", "@eaDir", "lost+found"))
_MAX_DEPTH = 64


@dataclass(frozen=True)
class Entry:
    """One indexed picture: name relative to its root, and what index and decoder said of it."""

    name: str
    size: int
    mtime_ns: int
    width: int
    height: int
    grey: bool


@dataclass(frozen=True)
class Found:
    """The pictures of one part (a folder of class folders), sorted by name."""

    root: Path
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...]

    def data(self, classes: tuple[str, ...], channels: int) -> Data:
        """Data whose labels index `classes`, which hold every class of this part."""
        index = {name: i for i, name in enumerate(classes)}
        names = tuple(entry.name for entry in self.entries)
        labels = np.array([index[name.partition("/")[0]] for name in names], dtype=np.int64)
        sizes = np.array([entry.size for entry in self.entries], dtype=np.int64)
        mark = fingerprint(names, sizes, labels, classes)
        return Data("folder", classes, channels, labels, names, mark, root=self.root, skipped=self.skipped)


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the class folders in `root`, sorted; hidden ones and litter are none."""
    try:
        with os.scandir(root) as items:
            found = [e.name for e in items if _kind(e) == "folder" and not _is_litter(e.name)]
    except OSError as error:
        raise DataError(f"cannot read {root} ({error.strerror}); check its permissions") from error
    return tuple(sorted(found))


def find_pictures(root: Path, cache: Path | None, progress: Progress | None = None) -> Found:
    """Every picture under the class folders of `root`, decoded once (small) unless the cache knows it unchanged.

    Raises DataError: no class folders, no pictures, a class folder without pictures or without a readable one.
    """
    root = root.absolute()
    classes = class_folders(root)
    loose = _loose_pictures(root)
    if not classes:
        seen = f"{len(loose)} pictures lie directly in it" if loose else "it holds no folders and no pictures"
        raise DataError(f"no class folders in {root} ({seen}); put the pictures of each class into a folder of its own")
    names: list[str] = []
    skipped = [Skipped(str(root / name), "lies beside the class folders, so it has no class") for name in loose]
    empty: list[str] = []
    for name in classes:
        pictures = [*_walk(root, name, skipped)]
        names += pictures
        if not pictures:
            empty.append(name)
    if not names:
        raise DataError(f"no pictures in {root} ({len(classes)} folders looked through); allowed: {_suffix_words()}")
    if empty:
        raise DataError(f"no pictures in class folder {_some(empty)} of {root}; fill it or remove it")
    entries, bad = index_pictures(root, sorted(names), cache, progress)
    readable = {entry.name.partition("/")[0] for entry in entries}
    for name in classes:
        if name not in readable:
            first = next(row for row in bad if Path(row.path).relative_to(root).parts[0] == name)
            raise DataError(
                f"no readable picture in class folder {name!r} of {root} (first: {first.path}: {first.reason})"
            )
    return Found(root, classes, tuple(entries), tuple(sorted((*skipped, *bad), key=lambda row: row.path)))


def is_folder(item: os.DirEntry[str]) -> bool:
    """Whether a name leads to a folder; links are followed, those in a ring lead nowhere."""
    return _kind(item) == "folder"


def holds_pictures(root: Path, name: str) -> bool:
    """Whether the class folder root/name has a picture; it is not opened."""
    return next(_walk(root, name, []), None) is not None


def _loose_pictures(root: Path) -> list[str]:
    with os.scandir(root) as items:
        return sorted(e.name for e in items if not _is_litter(e.name) and _kind(e) == "file" and _is_picture(e.name))


def _kind(item: os.DirEntry[str]) -> str:
    """What a name leads to, links followed: "folder", "file" or "" (pipes, dead links, links in a ring)."""
    try:
        return "folder" if item.is_dir() else "file" if item.is_file() else ""
    except OSError:
        return ""


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER


def _is_picture(name: str) -> bool:
    from plusx.images import SUFFIXES

    return os.path.splitext(name)[1].lower() in SUFFIXES


def _suffix_words() -> str:
    from plusx.images import SUFFIXES

    return " ".join(sorted(SUFFIXES))


def _walk(root: Path, top: str, skipped: list[Skipped]) -> Iterator[str]:
    """Names, relative to root, of the pictures under root/top. Each directory is entered once, so links may loop."""
    seen: set[tuple[int, int]] = set()
    todo = [(top, 0)]
    while todo:
        at, depth = todo.pop()
        try:
            about = os.stat(root / at)
            with os.scandir(root / at) as listing:
                items = sorted(listing, key=lambda e: e.name)
        except OSError as error:
            skipped.append(Skipped(str(root / at), f"cannot be read ({error.strerror})"))
            continue
        if (about.st_dev, about.st_ino) in seen and about.st_ino:
            continue
        seen.add((about.st_dev, about.st_ino))
        for item in items:
            name = f"{at}/{item.name}"
            kind = _kind(item)
            if _is_litter(item.name):
                continue
            if kind == "folder":
                if depth < _MAX_DEPTH:
                    todo.append((name, depth + 1))
            elif _is_picture(item.name):
                if kind == "file":
                    yield name
                else:
                    skipped.append(Skipped(str(root / name), "not a regular file, or a link to nothing"))
            elif os.path.splitext(item.name)[1].lower() in _OTHER_PICTURES:
                skipped.append(Skipped(str(root / name), "a format plusx does not read; convert it to JPEG or PNG"))


def index_pictures(
    root: Path, names: Sequence[str], cache: Path | None, progress: Progress | None
) -> tuple[list[Entry], list[Skipped]]:
    """Each name, decoded once or known from the kept index: what can be used, and what cannot."""
    known = {} if cache is None else _load(_cache_file(cache, root))
    answers = each(lambda name: _examine(root, name, known.get(name)), names, progress)
    entries = [a for a in answers if isinstance(a, Entry)]
    if cache is not None and entries != list(known.values()):
        _keep(_cache_file(cache, root), entries)
    return entries, [a for a in answers if isinstance(a, Skipped)]


def _examine(root: Path, name: str, known: Entry | None) -> Entry | Skipped:
    from plusx.images import probe

    path = root / name
    try:
        about = os.stat(path)
        if known is not None and (known.size, known.mtime_ns) == (about.st_size, about.st_mtime_ns):
            return known
        seen = probe(path)
    except (DataError, OSError) as error:
        return Skipped(str(path), str(error).removeprefix(f"{path}: "))
    return Entry(name, about.st_size, about.st_mtime_ns, seen.width, seen.height, seen.grey)


def _rules() -> str:
    """What a cached verdict depends on beside the file: another decoder may judge otherwise."""
    from importlib.metadata import version

    return f"plusx.index/1 pillow {version('pillow')} simplejpeg {version('simplejpeg')}"


def _cache_file(cache: Path, root: Path) -> Path:
    return cache / "index" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:24]}.json"


def _load(path: Path) -> dict[str, Entry]:
    """The kept index, or an empty one: a cache that is missing, damaged or of other rules costs time, nothing else."""
    try:
        found = json.loads(path.read_bytes())
        if found["rules"] != _rules():
            return {}
        columns = (found["names"], found["size"], found["mtime_ns"], found["width"], found["height"], found["grey"])
        return {row[0]: Entry(*row) for row in zip(*columns, strict=True)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _keep(path: Path, entries: Sequence[Entry]) -> None:
    columns = {
        "rules": _rules(),
        "names": [e.name for e in entries],
        "size": [e.size for e in entries],
        "mtime_ns": [e.mtime_ns for e in entries],
        "width": [e.width for e in entries],
        "height": [e.height for e in entries],
        "grey": [e.grey for e in entries],
    }
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(json.dumps(columns).encode("utf-8", "surrogateescape"))
        aside.replace(path)
    except OSError:
        # a full or read-only cache must not stop a run: the next start is slow, that is all
        with contextlib.suppress(OSError):
            aside.unlink()


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
