"""What the BUNDLE arguments name: models, each with one or more versions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plusx.bundles import is_bundle
from plusx.errors import BundleError, SpecError
from plusx.i18n import _

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Source:
    """One argument: a model, and the folder of its only version or (`version` None) of its versions 1/, 2/, …"""

    name: str
    version: int | None
    path: Path

    def versions(self) -> Iterator[tuple[int, Path]]:
        """The versions that are there now, the lowest first."""
        if self.version is not None:
            yield self.version, self.path
        else:
            yield from sorted(version_folders(self.path))


def version_folders(path: Path) -> list[tuple[int, Path]]:
    """The bundles or runs in folders whose names are numbers."""
    try:
        children = list(path.iterdir())
    except OSError:
        return []
    return [(int(child.name), child) for child in children if _VERSION.fullmatch(child.name) and _is_model(child)]


def _is_model(path: Path) -> bool:
    return is_bundle(path) or (path / "run.json").is_file()


def read_sources(words: Iterable[str]) -> list[Source]:
    """PATH, NAME=PATH or NAME:VERSION=PATH. Raises SpecError for a name that no address can have, BundleError."""
    sources: list[Source] = []
    taken: set[tuple[str, int]] = set()
    for word in words:
        source = _read(word)
        for version, _path in source.versions():
            if (source.name, version) in taken:
                raise SpecError(
                    _("Two bundles are version {version} of the model {name}. Write {name}:{other}=PATH or NAME=PATH for one of them.",
                      version=version, name=source.name, other=version + 1)
                )  # fmt: skip
            taken.add((source.name, version))
        sources.append(source)
    return sources


def _read(word: str) -> Source:
    written, sign, rest = word.partition("=")
    if not sign or os.path.lexists(word):  # a folder may have = in its name
        return _source(word, None, None)
    name, colon, version = written.partition(":")
    if colon and not _VERSION.fullmatch(version):
        raise SpecError(
            _("{word} gives the version {version!r}. Write a whole number from 1, like {name}:2=PATH.",
              word=word, version=version, name=name)
        )  # fmt: skip
    return _source(rest, name, int(version) if colon else None)


def _source(path: str, name: str | None, version: int | None) -> Source:
    folder = Path(path)
    if not folder.is_dir():
        raise BundleError(_("There is no bundle at {path}. Give a folder with bundle.json, or a run.", path=path))
    if name is None:
        whole = Path(os.path.abspath(path))  # a link keeps its own name
        name = whole.parent.name if whole.name == "bundle" and (whole.parent / "run.json").is_file() else whole.name
    if not NAME.fullmatch(name):
        raise SpecError(
            _("{name!r} cannot be the name of a model in an address. Write NAME={path} with letters, digits, - . and _ only.",
              name=name, path=path)
        )  # fmt: skip
    if version is None and not _is_model(folder) and version_folders(folder):
        return Source(name, None, folder)
    return Source(name, version or 1, folder)
