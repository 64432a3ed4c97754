"""Names in a CSV list that are not paths relative to it: found by name, with or without suffix, in the folders beside the list."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from plusx.data.dataset import Skipped
from plusx.data.folder_layout import part_of
from plusx.data.parts import some
from plusx.i18n import Message, _
from plusx.images import Walk

_SAMPLE = 64
_MAX_DEPTH = 3


def resolved(path: Path, rows: Mapping[str, str], skipped: list[Skipped]) -> tuple[Mapping[str, str], list[Message]]:
    """The rows of a list with names of files; a name that several files have, or that comes twice so, is skipped."""
    root = path.absolute().parent
    if all(os.path.exists(root / name) for name in islice(rows, _SAMPLE) if name.isprintable()):
        return rows, []
    files = [found.name for found in Walk(root, max_depth=_MAX_DEPTH) if found.reason is None]
    exact, by_name = set(files), _by_name(files)
    found: dict[str, str] = {}
    first: tuple[str, str] | None = None
    n = 0
    for name, label in rows.items():
        there = name
        if name not in exact and not os.path.isabs(name):
            able = _preferred(by_name.get(os.path.normpath(name).replace(os.sep, "/"), []), path)
            if len(able) > 1:
                skipped.append(
                    Skipped(f"{path}, {name}", _("several files have this name ({files})", files=some(able)))
                )
                continue
            if able:
                there, n, first = able[0], n + 1, first or (name, able[0])
        if there in found:
            skipped.append(Skipped(f"{path}, {name}", _("{name} is listed before", name=there)))
            continue
        found[there] = label
    return found, [] if first is None else [
        _(
            "{n:,} names of {path} were found in folders ({name} is {file}).",
            n=n,
            path=path.name,
            name=first[0],
            file=first[1],
        )
    ]


def _by_name(files: list[str]) -> dict[str, list[str]]:
    """Files by what a list may call them: the path, the name, each with and without suffix."""
    table: dict[str, list[str]] = {}
    for file in files:
        base = file.rpartition("/")[2]
        for called in {file, os.path.splitext(file)[0], base, os.path.splitext(base)[0]}:
            table.setdefault(called, []).append(file)
    return table


def _preferred(files: list[str], path: Path) -> list[str]:
    """Of several files those in folders of the list's own part: train.csv and labels.csv speak of train/."""
    if len(files) < 2:
        return files
    said = part_of(path.stem)
    part = said[0] if said is not None else "train"
    mine = [file for file in files if (of := part_of(file.partition("/")[0])) is not None and of[0] == part]
    return mine or files
