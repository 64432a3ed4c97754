"""Keeps the translations: what the code says, what the catalogues have, and the compiled file that is read at run time.

    python scripts/messages.py check      what is missing, unused or wrong, a line each; exit 1 if anything is
    python scripts/messages.py update     adds new texts with an empty translation to locale/zh/ROOM.po, drops unused ones
    python scripts/messages.py compile    writes locale/zh/LC_MESSAGES/plusx.mo

A room's texts stand in its own file; a text that several rooms have stands in each of them, translated alike.
"""

from __future__ import annotations

import ast
import io
import string
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).resolve().parents[1] / "src/plusx"
LOCALE = PACKAGE / "i18n/locale"
TEXTS = {"_": 1, "_n": 2}
"""How many of the first arguments of a marker are texts."""
_NOBODY = (b'"Generated-By', b'"Last-Translator', b'"Language-Team', b'"Report-Msgid', b'"Project-Id-Version')
_HEAD = "# Chinese of one room, made from the code by scripts/messages.py; only the translations are written by hand."
_DATE = datetime(2026, 1, 1, tzinfo=UTC)
"""The same in every file, so that a file changes only when its texts do."""
Id = str | tuple[str, str]


def extracted() -> dict[str, Catalog]:
    """What each room says: room to a catalogue without translations."""
    rooms: dict[str, Catalog] = {}
    for name, _, texts in _marked():
        if all(texts):
            room = Path(name).parts[0].removesuffix(".py")
            key = texts[0] if len(texts) == 1 else texts
            rooms.setdefault(room, _empty()).add(key, locations=[(name, 0)])
    return rooms


def unmarked() -> Iterator[str]:
    """One line for each `_` or `_n` whose text is not written out there: it could not be extracted."""
    return (
        f"{name}:{line} marks a text that is not written out there" for name, line, texts in _marked() if not all(texts)
    )


def _marked() -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """File, line and texts of every call of `_` and `_n`, also of those inside other calls; "" for what is no literal."""
    for path in sorted(PACKAGE.rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
            if isinstance(call.func, ast.Name) and call.func.id in TEXTS:
                texts = call.args[: TEXTS[call.func.id]]
                yield str(path.relative_to(PACKAGE)), call.lineno, tuple(_literal(text) for text in texts)


def _literal(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def translated(lang: str = "zh") -> dict[str, Catalog]:
    """What each room's .po file has."""
    return {path.stem: read_po(io.BytesIO(path.read_bytes()), lang) for path in sorted((LOCALE / lang).glob("*.po"))}


def problems(said: dict[str, Catalog], have: dict[str, Catalog]) -> Iterator[str]:
    """One line for each text without a translation, translation without a text, and hole that differs."""
    whole: dict[object, object] = {}
    for room in sorted(said.keys() | have.keys()):
        ours, theirs = said.get(room, _empty()), have.get(room, _empty())
        for message in ours:
            entry = theirs.get(message.id)
            if message.id and (entry is None or not _strings(entry.string)[0]):
                yield f"{room}.po lacks {_first(message.id)!r}"
        for entry in theirs:
            if not entry.id:
                continue
            if ours.get(entry.id) is None:
                yield f"{room}.po has {_first(entry.id)!r}, which no code says"
            if entry.fuzzy:
                yield f"{room}.po marks {_first(entry.id)!r} as fuzzy"
            for text in _strings(entry.string):
                if text and holes(text) - holes(_strings(entry.id)[-1]):
                    yield f"{room}.po fills {sorted(holes(text))} into {_first(entry.id)!r}"
            if whole.setdefault(entry.id, entry.string) != entry.string:
                yield f"{room}.po translates {_first(entry.id)!r} otherwise than another room"


def holes(text: str) -> set[str]:
    """The names of the values in a template; none where braces are plain text."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return set()


def update(lang: str = "zh") -> None:
    """Brings every room's .po file to what the code says; translations stay."""
    have = translated(lang)
    known = {
        entry.id: entry.string
        for catalog in have.values()
        for entry in catalog
        if entry.id and any(_strings(entry.string))
    }
    for room, catalog in extracted().items():
        for message in catalog:
            if message.id:
                message.string = known.get(message.id, message.string)
        _write(LOCALE / lang / f"{room}.po", catalog)
    for room in have.keys() - extracted().keys():
        (LOCALE / lang / f"{room}.po").unlink()


def compiled(lang: str = "zh") -> bytes:
    """All rooms' translations as one .mo file."""
    whole = _empty(lang)
    for catalog in translated(lang).values():
        for entry in catalog:
            if entry.id and any(_strings(entry.string)):
                whole.add(entry.id, entry.string)
    out = io.BytesIO()
    write_mo(out, whole)
    return out.getvalue()


def _empty(lang: str = "zh") -> Catalog:
    return Catalog(lang, header_comment=_HEAD, fuzzy=False, creation_date=_DATE, revision_date=_DATE)


def _write(path: Path, catalog: Catalog) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    write_po(out, catalog, width=0, omit_header=False, sort_output=False, no_location=False, include_lineno=False)
    # who made it with what would change the file without a text having changed
    lines = [line for line in out.getvalue().splitlines(keepends=True) if not line.startswith(_NOBODY)]
    path.write_bytes(b"".join(lines))


def _strings(text: object) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, list | tuple) else (str(text or ""),)


def _first(key: object) -> str:
    return _strings(key)[0]


def main() -> int:
    way = sys.argv[1] if len(sys.argv) == 2 else ""
    if way == "check":
        found = [*unmarked(), *problems(extracted(), translated())]
        print("\n".join(found) or "every text is translated")
        return 1 if found else 0
    if way == "update":
        update()
    elif way != "compile":
        print(__doc__)
        return 2
    target = LOCALE / "zh/LC_MESSAGES/plusx.mo"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(compiled())
    return 0


if __name__ == "__main__":
    sys.exit(main())
