"""Images that are files of their own: those of class folders, and the index of their sizes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from plusx.data.dataset import Skipped
from plusx.data.folder_layout import class_folders, find_layout, loose_images
from plusx.data.indexing import (
    ImageIndex,
    ProgressCallback,
    digest_of,
    index_path,
    load_index,
    map_threaded,
    save_index,
)
from plusx.data.packed import change_stamp
from plusx.data.parts import DataParts, LabelledPart, UnreadPart, deep_note, first_skipped, some
from plusx.errors import DataError
from plusx.i18n import Message, _
from plusx.images import FORMATS, Walk, probe, read_file


def folder_parts(root: Path, where: str, cache: Path | None, progress: ProgressCallback | None) -> DataParts:
    """The parts that the folders of `root` are by their names, else all of it as training part. Raises DataError."""

    def source(folder: Path | None) -> UnreadPart | None:
        if folder is None:
            return None
        return UnreadPart(str(folder), class_folders(folder), lambda: _class_part(folder, cache, progress))

    layout = find_layout(root)
    return DataParts(where, source(layout.train), source(layout.val), layout.notes)


def files_part(
    kind: str,
    where: str,
    root: Path,
    rows: Mapping[str, str],
    classes: tuple[str, ...] | None,
    skipped: Sequence[Skipped],
    index: Path | None,
    progress: ProgressCallback | None,
    notes: Sequence[Message] = (),
) -> LabelledPart:
    """The readable of `rows` (label by name, relative to `root`), each decoded once unless `index` has it unchanged."""
    entries, bad = _index(root, list(rows), index, progress)
    return LabelledPart(
        kind, where, tuple(entry.name for entry in entries), tuple(rows[entry.name] for entry in entries),
        np.array([min(entry.width, entry.height) for entry in entries], np.int64),
        tuple(entry.digest for entry in entries),
        1 if all(entry.grey for entry in entries) else 3, classes, root=root, skipped=(*skipped, *bad),
        notes=(*notes, *deep_note([entry.top for entry in entries])),
    )  # fmt: skip


def _class_part(root: Path, cache: Path | None, progress: ProgressCallback | None) -> LabelledPart:
    """The images under the class folders of `root`, sorted by name.

    Raises DataError: no class folders, no images, a class folder without images or without a readable one.
    """
    root = root.absolute()
    classes, loose = class_folders(root), loose_images(root)
    if not classes:
        raise DataError(_no_folders(root, len(loose)))
    skipped = [Skipped(str(root / name), _("it lies beside the class folders, so it has no class")) for name in loose]
    walk = Walk(root)
    for name in classes:
        walk.claim(name)
    found: dict[str, list[str]] = {}
    for label in classes:
        files = list(walk.below(label))
        found[label] = [file.name for file in files if file.reason is None]
        skipped += [Skipped(str(root / file.name), file.reason) for file in files if file.reason is not None]
    if not any(found.values()):
        raise DataError(
            _(
                "There are no images in {root} ({n} folders were searched). {first}Give images of these formats: {formats}.",
                root=root,
                n=len(classes),
                first=first_skipped(skipped),
                formats=", ".join(FORMATS),
            )
        )
    if empty := [repr(name) for name in classes if not found[name]]:
        raise DataError(
            _(
                "There are no images in class folder {empty} of {root}. Add images, or remove the folder.",
                empty=some(empty),
                root=root,
            )
        )
    rows = dict(sorted((name, label) for label in classes for name in found[label]))
    note = walk.tally.note()
    part = files_part(
        "folder", str(root), root, rows, classes, skipped, cache and index_path(cache, "index", root), progress,
        (note,) if note else (),
    )  # fmt: skip
    readable = set(part.labels)
    for label in classes:
        if label not in readable:
            first = next(row for row in part.skipped if Path(row.path).relative_to(root).parts[0] == label)
            raise DataError(
                _(
                    "No image in class folder {label!r} of {root} can be read. The first is {path}: {reason}. Repair them, or remove the folder.",
                    label=label,
                    root=root,
                    path=first.path,
                    reason=first.reason,
                )
            )
    return part


def _no_folders(root: Path, loose: int) -> Message:
    """What is wrong with a folder without class folders, and the way out that fits what lies beside it."""
    if not loose:
        return _(
            "There are no class folders in {root}, and no images. Put the images of each class into a folder of its own.",
            root=root,
        )

    try:
        twins = [name for name in class_folders(root.parent) if name != root.name and loose_images(root.parent / name)]
    except DataError:
        twins = []
    if twins:
        return _(
            "There are no class folders in {root} ({n} images lie directly in it). If it is the folder of one class, name the"
            " folder above: --data {above}.", root=root, n=loose, above=root.parent,
        )  # fmt: skip
    return _(
        "There are no class folders in {root} ({n} images lie directly in it). Put the images of each class into a folder of"
        " its own and name the folder above them, or name a CSV list that gives their classes.", root=root, n=loose,
    )  # fmt: skip


# ---- the index ----


@dataclass(frozen=True)
class _IndexedFile:
    """One indexed image: name relative to its root, what its file was then, the hash of its bytes, and its size in pixels."""

    name: str
    stamp: list[int]
    digest: str
    width: int
    height: int
    grey: bool
    top: int | None


_COLUMNS = tuple(field.name for field in fields(_IndexedFile))


def _index(
    root: Path, names: Sequence[str], at: Path | None, progress: ProgressCallback | None
) -> tuple[list[_IndexedFile], list[Skipped]]:
    """Each name, decoded once or known from the index stored at `at`: what can be used, and what cannot."""
    known = {} if at is None else _known(load_index(at))
    answers = map_threaded(lambda name: _examine(root, name, known.get(name)), names, progress)
    entries = [answer for answer in answers if isinstance(answer, _IndexedFile)]
    if at is not None and entries != list(known.values()):
        rows = [[getattr(entry, name) for name in _COLUMNS] for entry in entries]
        save_index(at, ImageIndex({name: [row[i] for row in rows] for i, name in enumerate(_COLUMNS)}, {}))
    return entries, [answer for answer in answers if isinstance(answer, Skipped)]


def _known(seen: ImageIndex | None) -> dict[str, _IndexedFile]:
    if seen is None or set(seen.columns) != set(_COLUMNS):
        return {}
    return {row[0]: _IndexedFile(*row) for row in zip(*(seen.columns[name] for name in _COLUMNS), strict=True)}


def _examine(root: Path, name: str, known: _IndexedFile | None) -> _IndexedFile | Skipped:
    path = root / name
    try:
        stamp = change_stamp(os.stat(path))
        if known is not None and known.stamp == stamp:
            return known
        raw = read_file(path)
        seen = probe(raw)
    except DataError as error:
        return Skipped(str(path), error.message)
    except (OSError, ValueError) as error:  # a name with a null in it is a ValueError
        return Skipped(
            str(path),
            _("it cannot be read ({reason})", reason=getattr(error, "strerror", None) or _("its name is not valid")),
        )
    return _IndexedFile(name, stamp, digest_of(raw), seen.width, seen.height, seen.grey, seen.top)
