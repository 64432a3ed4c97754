"""The images below a folder, found in the same way by every command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plusx.errors import DataError
from plusx.i18n import Message, _, _n
from plusx.images.magic import SUFFIXES, head_status, read_head

MAX_DEPTH = 64
# what systems and tools leave in folders; compared in lower case
_IGNORED = frozenset(
    (
        "__macosx", "__pycache__", "@eadir", "lost+found", "$recycle.bin", "system volume information",
        "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
    )
)  # fmt: skip


def is_ignored(name: str) -> bool:
    """Whether a file or folder of that name is ignored: hidden, or a system's own.

    >>> is_ignored("._1.jpg"), is_ignored("Thumbs.db"), is_ignored("notes.txt")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in _IGNORED


def kind_of_entry(entry: os.DirEntry[str]) -> str:
    """What a name leads to, links followed: "folder", "file" or "" (pipes, dead links, links in a ring)."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An image, or what should be one: its name relative to the walk's root, and why it cannot be read (None: it may be)."""

    name: str
    reason: Message | str | None = None


class NonImages:
    """How many files were skipped because they are not images, and the first of them."""

    def __init__(self) -> None:
        self.n, self.first = 0, ""

    def add(self, path: Path) -> None:
        self.first = self.first or str(path)
        self.n += 1

    def note(self) -> Message | None:
        """One line for the user, or None when nothing was skipped."""
        if not self.n:
            return None
        return _n(
            "1 file is not an image and was skipped ({first}).",
            "{n:,} files are not images and were skipped (the first: {first}).", self.n, first=self.first,
        )  # fmt: skip


class Walk:
    """The images below `root`, by name, depth first; files that are not images are counted in `tally`.

    Hidden and system files are ignored. A file whose name ends as an image's does is taken without opening it, since decoding
    checks its content; of every other the first bytes decide, so a million images cost no more than their listing.
    Links are followed, and no folder is entered twice.
    """

    def __init__(self, root: Path, tally: NonImages | None = None, max_depth: int = MAX_DEPTH) -> None:
        self.root, self.max_depth = root, max_depth
        self.tally = NonImages() if tally is None else tally
        self._entered: set[tuple[int, int]] = set()
        self._claim(root)

    def __iter__(self) -> Iterator[FoundFile]:
        return self._below("", 0)

    def below(self, folder: str) -> Iterator[FoundFile]:
        """The images below one folder of the root; folders that were claimed are entered only by their own name."""
        return self._below(folder, 1)

    def claim(self, folder: str) -> None:
        """Keeps links elsewhere from leading into this folder of the root."""
        self._claim(self.root / folder)

    def _claim(self, path: Path) -> bool:
        try:
            about = os.stat(path)
        except OSError:
            return True  # scanning it will say why
        key = (about.st_dev, about.st_ino)
        if key in self._entered and about.st_ino:
            return False
        self._entered.add(key)
        return True

    def _below(self, at: str, depth: int) -> Iterator[FoundFile]:
        try:
            with os.scandir(self.root / at) as listing:
                entries = sorted((e for e in listing if not is_ignored(e.name)), key=lambda e: e.name)
        except OSError as error:
            yield FoundFile(at, _("it cannot be read ({reason})", reason=error.strerror))
            return
        prefix = f"{at}/" if at else ""
        # claimed before any is entered, so that a link in the first does not take the files of the second
        kinds = [kind_of_entry(entry) for entry in entries]
        new = {e.name for e, kind in zip(entries, kinds, strict=True) if kind == "folder" and self._claim(Path(e.path))}
        for entry, kind in zip(entries, kinds, strict=True):
            name = prefix + entry.name
            if kind != "folder":
                yield from self._file(name, kind)
            elif entry.name in new and depth < self.max_depth:
                yield from self._below(name, depth + 1)

    def _file(self, name: str, kind: str) -> Iterator[FoundFile]:
        found = file_status(self.root / name, kind)
        if found is None:
            if kind == "file":
                self.tally.add(self.root / name)
        else:
            yield FoundFile(name, found or None)


def file_status(path: Path, kind: str = "file") -> Message | str | None:
    """ "" for an image to be read, the reason for what should be one and cannot be, None for what is no image."""
    suffix = os.path.splitext(path.name)[1].lower()
    if kind != "file":
        return _("it is not a regular file, or a link to nothing") if suffix in SUFFIXES else None
    if suffix in SUFFIXES:
        return ""
    try:
        return head_status(read_head(path), suffix)
    except DataError as error:
        return error.message


def is_image(folder: Path | str, entry: os.DirEntry[str]) -> bool:
    """Whether a name in a folder is a file that holds an image, or should."""
    return (
        not is_ignored(entry.name)
        and bool(kind_of_entry(entry) == "file")
        and file_status(Path(folder, entry.name)) is not None
    )


def holds_images(folder: Path) -> bool:
    """Whether an image lies in a folder or below it; the first that is found ends the search."""
    seen: set[tuple[int, int]] = set()
    todo = [(folder, 0)]
    while todo:
        at, depth = todo.pop()
        try:
            about = os.stat(at)
            if (about.st_dev, about.st_ino) in seen and about.st_ino:
                continue
            seen.add((about.st_dev, about.st_ino))
            with os.scandir(at) as listing:
                for entry in listing:
                    if is_image(at, entry):
                        return True
                    if depth < MAX_DEPTH and not is_ignored(entry.name) and kind_of_entry(entry) == "folder":
                        todo.append((at / entry.name, depth + 1))
        except OSError:
            continue
    return False
