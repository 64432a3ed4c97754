"""Images that are files of their own: finding those of class folders, looking at each once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from plusx.data.dataset import Skipped
from plusx.data.indexing import Progress, Seen, each, keep, place, recall
from plusx.data.parts import PART_NAMES, Part, Parts, Source, some
from plusx.errors import DataError
from plusx.images import OTHER_SUFFIXES, SUFFIXES, probe

_LITTER = frozenset(("__MACOSX", "__pycache__", "@eaDir", "lost+found"))
_MAX_DEPTH = 64


def folder_parts(root: Path, where: str, cache: Path | None, progress: Progress | None) -> Parts:
    """train/ and val/ (valid, validation, test) of `root` when its folders are parts, else all of it as training part."""

    def source(folder: Path) -> Source:
        return Source(str(folder), class_folders(folder), lambda: _class_part(folder, cache, progress))

    folders = class_folders(root)
    val = next((root / name for name, part in PART_NAMES.items() if part != "train" and name in folders), None)
    if "train" in folders and class_folders(root / "train"):
        return Parts(where, source(root / "train"), None if val is None else source(val))
    if val is not None and set(folders) <= set(PART_NAMES) and class_folders(val):
        return Parts(where, None, source(val))
    return Parts(where, source(root), None)


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the class folders in `root`, sorted; hidden ones and litter are none. Raises DataError."""
    try:
        with os.scandir(root) as items:
            found = [e.name for e in items if _kind(e) == "folder" and not _is_litter(e.name)]
    except OSError as error:
        raise DataError(f"cannot read {root} ({error.strerror}); check its permissions") from error
    return tuple(sorted(found))


def is_folder(item: os.DirEntry[str]) -> bool:
    """Whether a name leads to a folder; links are followed, those in a ring lead nowhere."""
    return _kind(item) == "folder"


def holds_images(root: Path, name: str) -> bool:
    """Whether the class folder root/name has an image; it is not opened."""
    return next(_walk(root, name, []), None) is not None


def files_part(
    kind: str,
    where: str,
    root: Path,
    rows: Mapping[str, str],
    classes: tuple[str, ...] | None,
    skipped: Sequence[Skipped],
    index: Path | None,
    progress: Progress | None,
) -> Part:
    """The readable of `rows` (label by name, relative to `root`), each looked at once unless `index` knows it unchanged."""
    entries, bad = _index(root, list(rows), index, progress)
    return Part(
        kind, where, tuple(entry.name for entry in entries), tuple(rows[entry.name] for entry in entries),
        np.array([min(entry.width, entry.height) for entry in entries], np.int64),
        np.array([entry.size for entry in entries], np.int64),
        1 if all(entry.grey for entry in entries) else 3, classes, root=root, skipped=(*skipped, *bad),
    )  # fmt: skip


def _class_part(root: Path, cache: Path | None, progress: Progress | None) -> Part:
    """The images under the class folders of `root`, sorted by name.

    Raises DataError: no class folders, no images, a class folder without images or without a readable one.
    """
    root = root.absolute()
    classes, loose = class_folders(root), _loose_images(root)
    if not classes:
        seen = f"{len(loose)} images lie directly in it" if loose else "it holds no folders and no images"
        raise DataError(f"no class folders in {root} ({seen}); put the images of each class into a folder of its own")
    skipped = [Skipped(str(root / name), "lies beside the class folders, so it has no class") for name in loose]
    found = {name: list(_walk(root, name, skipped)) for name in classes}
    if not any(found.values()):
        allowed = " ".join(sorted(SUFFIXES))
        raise DataError(f"no images in {root} ({len(classes)} folders looked through); allowed: {allowed}")
    if empty := [repr(name) for name in classes if not found[name]]:
        raise DataError(f"no images in class folder {some(empty)} of {root}; fill it or remove it")
    rows = dict(sorted((name, label) for label in classes for name in found[label]))
    part = files_part(
        "folder", str(root), root, rows, classes, skipped, cache and place(cache, "index", root), progress
    )
    readable = set(part.labels)
    for label in classes:
        if label not in readable:
            first = next(row for row in part.skipped if Path(row.path).relative_to(root).parts[0] == label)
            raise DataError(
                f"no readable image in class folder {label!r} of {root} (first: {first.path}: {first.reason});"
                " mend them or remove the folder"
            )
    return part


def _loose_images(root: Path) -> list[str]:
    with os.scandir(root) as items:
        return sorted(e.name for e in items if not _is_litter(e.name) and _kind(e) == "file" and _is_image(e.name))


def _kind(item: os.DirEntry[str]) -> str:
    """What a name leads to, links followed: "folder", "file" or "" (pipes, dead links, links in a ring)."""
    try:
        return "folder" if item.is_dir() else "file" if item.is_file() else ""
    except OSError:
        return ""


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _walk(root: Path, top: str, skipped: list[Skipped]) -> Iterator[str]:
    """Names, relative to root, of the images under root/top. Each directory is entered once, so links may loop."""
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
            elif _is_image(item.name):
                if kind == "file":
                    yield name
                else:
                    skipped.append(Skipped(str(root / name), "not a regular file, or a link to nothing"))
            elif os.path.splitext(item.name)[1].lower() in OTHER_SUFFIXES:
                skipped.append(Skipped(str(root / name), "a format plusx does not read; convert it to JPEG or PNG"))


# ---- the index ----


@dataclass(frozen=True)
class _Entry:
    """One indexed image: name relative to its root, and what the disk and the decoder said of it."""

    name: str
    size: int
    mtime_ns: int
    width: int
    height: int
    grey: bool


_COLUMNS = tuple(field.name for field in fields(_Entry))


def _index(
    root: Path, names: Sequence[str], at: Path | None, progress: Progress | None
) -> tuple[list[_Entry], list[Skipped]]:
    """Each name, decoded once or known from the index kept `at` a place: what can be used, and what cannot."""
    known = {} if at is None else _known(recall(at))
    answers = each(lambda name: _examine(root, name, known.get(name)), names, progress)
    entries = [answer for answer in answers if isinstance(answer, _Entry)]
    if at is not None and entries != list(known.values()):
        rows = [astuple(entry) for entry in entries]
        keep(at, Seen({name: [row[i] for row in rows] for i, name in enumerate(_COLUMNS)}, {}))
    return entries, [answer for answer in answers if isinstance(answer, Skipped)]


def _known(seen: Seen | None) -> dict[str, _Entry]:
    if seen is None or set(seen.columns) != set(_COLUMNS):
        return {}
    return {row[0]: _Entry(*row) for row in zip(*(seen.columns[name] for name in _COLUMNS), strict=True)}


def _examine(root: Path, name: str, known: _Entry | None) -> _Entry | Skipped:
    path = root / name
    try:
        about = os.stat(path)
        if known is not None and (known.size, known.mtime_ns) == (about.st_size, about.st_mtime_ns):
            return known
        seen = probe(path)
    except DataError as error:
        return Skipped(str(path), str(error).removeprefix(f"{path}: "))
    except (OSError, ValueError) as error:  # a name with a null in it is a ValueError
        return Skipped(str(path), f"cannot be read ({getattr(error, 'strerror', None) or error})")
    return _Entry(name, about.st_size, about.st_mtime_ns, seen.width, seen.height, seen.grey)
