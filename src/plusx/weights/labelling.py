"""Names of classes for networks whose file has none: a list that plusx ships, or a file of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from plusx.errors import DataError
from plusx.files import read_regular
from plusx.i18n import _

SHIPPED = {"imagenet-1k": Path(__file__).parent / "labels" / "imagenet-1k.txt"}
MOST_BYTES = 8 << 20


def read_labels(labels: str | Path | Sequence[str], classes: int) -> tuple[str, ...]:
    """`classes` names: a shipped list (`imagenet-1k`), a text file with one a line, a JSON file, or the names themselves.

    JSON is a list, a map of numbers to names (`{"0": "cat"}`, `{"0": ["n01440764", "tench"]}`), or holds one as `id2label`.
    Raises DataError where there are not as many names as classes.

    >>> read_labels("imagenet-1k", 1000)[:2]
    ('tench', 'goldfish')
    """
    if isinstance(labels, str | Path):
        shipped = SHIPPED.get(str(labels))
        names = tuple(_lines(shipped)) if shipped else _read(Path(labels))
    else:
        names = tuple(labels)
    if len(names) != classes:
        raise DataError(
            _(
                "labels {value} name {count} classes, and the network has {classes}. Give one name a class.",
                value=labels if isinstance(labels, str | Path) else "",
                count=len(names),
                classes=classes,
            )
        )
    return names


def _lines(path: Path) -> list[str]:
    lines = read_regular(path, MOST_BYTES).decode().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _read(path: Path) -> tuple[str, ...]:
    try:
        return tuple(_from_json(path) if path.suffix == ".json" else _lines(path))
    except FileNotFoundError:
        raise DataError(
            _(
                "There are no labels at {path}. Give a file with one name a line, or {words}.",
                path=path,
                words=", ".join(SHIPPED),
            )
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(
            _("{path} cannot be read as labels ({name}). Write one name a line.", path=path, name=type(error).__name__)
        ) from None


def _from_json(path: Path) -> list[str]:
    return names_of(json.loads(read_regular(path, MOST_BYTES).decode()), path)


def names_of(found: Any, path: Path) -> list[str]:
    """The names in a JSON value, in the order of their numbers. Raises DataError for other values."""
    if isinstance(found, dict):
        table = cast("dict[str, Any]", found)
        if "id2label" in table:
            return names_of(table["id2label"], path)
        if table and all(str(key).isdecimal() for key in table) and sorted(map(int, table)) == list(range(len(table))):
            found = [table[key] for key in sorted(table, key=int)]
    if isinstance(found, list):
        entries = [
            cast("list[Any]", entry)[-1] if isinstance(entry, list) and entry else entry
            for entry in cast("list[Any]", found)
        ]
        if all(isinstance(entry, str) for entry in entries):
            return cast("list[str]", entries)
    raise DataError(
        _("{path} is no list of names and no map of numbers 0, 1, 2, … to names. Write one name a line.", path=path)
    )
