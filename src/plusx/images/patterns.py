"""Files whose names match a pattern like `photos/**/*.jpg`. Links are followed, and no folder is searched twice."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path


def matches(pattern: str) -> list[Path]:
    """What a pattern matches, sorted, as `glob.glob` has it with `recursive=True`; a folder is walked by `**` once.

    glob itself follows links without end: a few that lead upwards give as many paths as there are ways through them.
    """
    path = Path(pattern)
    parts = [part for part in path.parts if part != path.anchor]
    found = {str(each) for each in _below(Path(path.anchor), parts, set())}
    folders_only = pattern.endswith(os.sep)
    return [Path(each) for each in sorted(found) if not folders_only or os.path.isdir(each)]


def _below(folder: Path, parts: list[str], seen: set[tuple[int, int, int]]) -> Iterator[Path]:
    """What the rest of a pattern matches in a folder. `seen` holds (device, inode, parts left) of what was searched by `**`."""
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        try:
            about = os.stat(folder)
        except OSError:
            return
        key = (about.st_dev, about.st_ino, len(parts))
        if about.st_ino and key in seen:
            return
        seen.add(key)
        yield from _below(folder, rest or ["*"], seen)
        for entry in _entries(folder):
            if not entry.name.startswith(".") and _is_folder(entry):
                yield from _below(folder / entry.name, parts, seen)
    elif not glob.has_magic(part):
        if os.path.lexists(folder / part):
            yield from _below(folder / part, rest, seen)
    else:
        wanted = re.compile(fnmatch.translate(os.path.normcase(part)))
        hidden = part.startswith(".")
        for entry in _entries(folder):
            if wanted.match(os.path.normcase(entry.name)) and (hidden or not entry.name.startswith(".")):
                if not rest or _is_folder(entry):
                    yield from _below(folder / entry.name, rest, seen)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            return list(listing)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
