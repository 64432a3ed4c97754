"""The format of a data set, detected from its content: CIFAR, IDX, Parquet, tar shards, CSV lists or class folders."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from plusx.data.archive import compression, is_header
from plusx.data.cifar import cifar_folder, open_cifar
from plusx.data.fashion import is_idx_folder, open_idx
from plusx.data.folder_layout import class_folders, has_labels
from plusx.data.folders import folder_parts
from plusx.data.indexing import ProgressCallback
from plusx.data.list_columns import ColumnNames
from plusx.data.lists import finds_images, is_list, list_part, require_list, split_parts
from plusx.data.parquet import list_parquet
from plusx.data.parts import PART_NAMES, DataParts, UnreadPart
from plusx.data.shards import ShardLister, shard_part
from plusx.data.tar import list_tar
from plusx.errors import DataError
from plusx.files import expanded, open_regular
from plusx.i18n import Message, _
from plusx.images import holds_images, is_ignored
from plusx.images.patterns import matches
from plusx.images.walking import kind_of_entry

BUILT_IN = ("digits", "fashion-mnist")
_LISTERS: dict[str, ShardLister] = {"parquet": list_parquet, "tar": list_tar}
_SUFFIXES = {".parquet": "parquet", ".tar": "tar", ".csv": "csv", ".tsv": "csv"}
_WORDS = {"parquet": "Parquet", "tar": "tar", "csv": "CSV"}


def find_parts(
    where: str | Path, cache: Path | None, progress: ProgressCallback | None, columns: ColumnNames
) -> DataParts:
    """The parts of a folder, a file or a pattern, not read yet. Raises DataError."""
    parts, kind = _find(where, cache, progress, columns)
    if columns and kind != "csv":
        raise DataError(
            _(
                "{where} is not a CSV list, so it has no columns to name. Leave out --path-column and --label-column.",
                where=where,
            )
        )
    return parts


def _find(
    where: str | Path, cache: Path | None, progress: ProgressCallback | None, columns: ColumnNames
) -> tuple[DataParts, str | None]:
    """The parts, and the kind of the files that hold them (None: another than Parquet, tar and CSV)."""
    path = expanded(where)
    if path.is_dir():
        if (folder := cifar_folder(path)) is not None:
            return open_cifar(folder), None
        if is_idx_folder(path):
            return open_idx(path), None
        if files := _shards_in(path) or _lists_in(path):
            return _parts(files, str(where), _grouped(files, path, str(where)), cache, progress, columns)
        if (found := _list_beside(path, columns)) is not None:
            parts, kind = _parts([found], str(where), {"train": [found]}, cache, progress, columns)
            return replace(parts, notes=(_("The classes are those of {path}.", path=found), *parts.notes)), kind
        return folder_parts(path, str(where), cache, progress), None
    if path.is_file():  # one file is one set, whatever its name
        return _parts([path], str(where), {"train": [path]}, cache, progress, columns)
    if glob.has_magic(str(path)) and not path.exists():
        files = [match for match in matches(str(path)) if os.path.isfile(match)]
        if not files:
            raise DataError(_("Nothing matches {where}. Check the pattern, or name the folder.", where=where))
        above = Path(os.path.commonpath([file.parent for file in files]))  # its own name says nothing of its files
        groups = _grouped(files, above, str(where)) if len(files) > 1 else {"train": files}
        return _parts(files, str(where), groups, cache, progress, columns)
    if path.exists():
        raise DataError(
            _("{path} is not a folder, nor a Parquet, tar or CSV file. Give one of these to --data.", path=where)
        )
    raise DataError(
        _(
            "There is no data at {where}. Give a folder, a file, a pattern or one of: {built_in}.",
            where=where,
            built_in=", ".join(BUILT_IN),
        )
    )


def _parts(
    files: Sequence[Path],
    where: str,
    groups: Mapping[str, Sequence[Path]],
    cache: Path | None,
    progress: ProgressCallback | None,
    columns: ColumnNames,
) -> tuple[DataParts, str]:
    kinds = {file: kind_of(file) for file in files}
    kind = kinds[files[0]]
    if other := next((file for file in files if kinds[file] != kind), None):
        raise DataError(
            _(
                "{where} holds {kind} files and {other} files ({name}). Name those of one kind.",
                where=where,
                kind=_WORDS[kind],
                other=_WORDS[kinds[other]],
                name=other.name,
            )
        )

    if kind == "csv" and set(groups) == {"train"} and (named := split_parts(groups["train"], columns)) > {"train"}:
        return _parts_by_column(groups["train"], where, named, cache, progress, columns), kind

    def source(which: str) -> UnreadPart | None:
        if (some := groups.get(which)) is None:
            return None
        words = (
            str(some[0])
            if len(some) == 1
            else _("{where} ({name} and {n} more)", where=where, name=some[0].name, n=len(some) - 1)
        )
        if kind == "csv":
            return UnreadPart(words, None, lambda: list_part(some, columns, cache, progress))
        return UnreadPart(words, None, lambda: shard_part(kind, some, _LISTERS[kind], cache, progress, words))

    notes: tuple[Message, ...] = ()
    val = source("val")
    if val is None and (tests := groups.get("test")):
        if kind == "csv" and not all(is_list(file, columns) for file in tests):
            notes = (
                _(
                    "{path} has no column of classes and is skipped. A share of train is held out instead.",
                    path=tests[0],
                ),
            )
        else:
            val = source("test")
            notes = (_("{path} is taken as the validation part, since nothing is named val.", path=tests[0].name),)
    return DataParts(where, source("train"), val, notes), kind


def _parts_by_column(
    files: Sequence[Path],
    where: str,
    named: Set[str],
    cache: Path | None,
    progress: ProgressCallback | None,
    columns: ColumnNames,
) -> DataParts:
    """The parts that a column of a list names: val to validate on, or test where there is no val."""

    def source(part: str) -> UnreadPart:
        return UnreadPart(f"{where}, {part}", None, lambda: list_part(files, columns, cache, progress, part))

    held = "val" if "val" in named else "test"
    note = _("A column of {name} says which rows are train and which are {part}.", name=files[0].name, part=held)
    if held == "val" and "test" in named:
        note = _("{note} Its test rows are skipped.", note=note)
    return DataParts(where, source("train"), source(held), (note,))


def kind_of(path: Path) -> str:
    """parquet, tar or csv, by the file's first bytes. Raises DataError, also for a file that is not what its name says."""
    try:
        with open_regular(path) as file:
            head = file.read(512)
    except OSError as error:
        raise DataError(
            _("{path} cannot be read ({reason}). Check its permissions.", path=path, reason=error.strerror)
        ) from error
    said = _SUFFIXES.get(path.suffix.lower())
    if head[:4] == b"PAR1":
        return "parquet"
    if is_header(head) or (said == "tar" and len(head) == 512 and not head.strip(b"\0")):
        return "tar"
    if (packed := compression(head)) is not None:
        raise DataError(
            _(
                "{path} is compressed ({packed}), so images in the middle cannot be read. Decompress it first.",
                path=path,
                packed=packed,
            )
        )
    if said in ("parquet", "tar"):
        raise DataError(
            _(
                "{path} is not a {kind} file: it begins with {start}. Get the file again.",
                path=path,
                kind=_WORDS[said],
                start=head[:4].hex() or _("nothing"),
            )
        )
    if said == "csv" or (path.suffix.lower() == ".txt" and b"\0" not in head):
        return "csv"
    raise DataError(
        _("{path} is not a folder, nor a Parquet, tar or CSV file. Give one of these to --data.", path=path)
    )


def _shards_in(root: Path) -> list[Path]:
    """Parquet and tar files in a folder and its folders; none where the folders are classes that hold images."""
    files = [file for file in _files(root) if _SUFFIXES.get(file.suffix.lower()) in _LISTERS]
    if files and sum(holds_images(root / name) for name in class_folders(root)) >= 2:
        return []  # an archive beside the images
    return files


def _lists_in(root: Path) -> list[Path]:
    """train.csv, val.csv, test.csv …; not where train/ holds class folders, which say the same."""
    found = [f for f in _files(root, 0) if f.suffix.lower() in (".csv", ".tsv") and f.stem.lower() in PART_NAMES]
    if any(PART_NAMES[file.stem.lower()] == "train" for file in found) and not _class_folders_in(root / "train"):
        return found
    return []


def _list_beside(root: Path, columns: ColumnNames) -> Path | None:
    """The one CSV list in a folder whose folders give no classes, whatever its name. Raises DataError where two could be it."""
    files = [
        file for file in _files(root, 0)
        if file.suffix.lower() in (".csv", ".tsv") and not re.search(r"sample|submi", file.stem.lower())
    ]  # fmt: skip
    if not files or has_labels(root):
        return None
    able = [file for file in files if is_list(file, columns) and finds_images(file, columns)]
    if len(able) > 1:
        raise DataError(
            _(
                "{first} and {second} of {root} could each give the classes. Name one: --data {path}.",
                first=able[0].name,
                second=able[1].name,
                root=root,
                path=able[0],
            )
        )
    if not able and len(files) == 1:
        # let the list itself say what is unclear about it
        require_list(files[0], columns)
    return able[0] if able else None


def _class_folders_in(folder: Path) -> bool:
    return folder.is_dir() and bool(class_folders(folder))


def _files(root: Path, depth: int = 1) -> Iterator[Path]:
    """Files whose names end like data. An unreadable folder has none; whoever reads images from it reports it."""
    try:
        with os.scandir(root) as listing:
            # names first: a stat of a million images takes a while
            items = [
                e
                for e in listing
                if not is_ignored(e.name) and (_is_data(e.name) or (depth and kind_of_entry(e) == "folder"))
            ]
    except OSError:
        return
    for item in sorted(items, key=lambda e: e.name):
        if kind_of_entry(item) == "folder":
            yield from _files(root / item.name, depth - 1) if depth else ()
        elif os.path.isfile(root / item.name):
            yield root / item.name


def _is_data(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIXES


def _grouped(files: Sequence[Path], root: Path, where: str) -> Mapping[str, Sequence[Path]]:
    """Files by part: the word train, val, valid, validation or test in a file's name, else in its folder's."""
    groups: dict[str, list[Path]] = {}
    for file in files:
        inside = file.parent.name if file.parent != root else ""
        groups.setdefault(_part_word(file.stem) or _part_word(inside) or "", []).append(file)
    unnamed = groups.pop("", [])
    if unnamed and groups:
        raise DataError(
            _(
                "{name} of {where} belongs to no part, though other files do. Put train, val or test into every name.",
                name=unnamed[0].name,
                where=where,
            )
        )
    return groups if groups else {"train": unnamed}


def _part_word(name: str) -> str | None:
    return next((PART_NAMES[word] for word in re.split(r"[^a-z]+", name.lower()) if word in PART_NAMES), None)
