"""Languages: plusx speaks English in the code; another language is laid over its texts where they are printed.

A catalogue maps an English text with holes, `groups={} does not divide {}` (`{n}` takes a number alone), to one with numbered
holes, `{0} … {1}`; a hole `{0:t}` is translated in its turn. A text that no entry fits stays as it is: a missing translation never hides a result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import NamedTuple

from plusx import settings

LANGUAGES = ("en", "zh")
PARTS = ("errors", "words", "tables", "runs", "cli")
HOLE = re.compile(r"\{(\d)(:t)?\}")
ENGLISH_HOLE = re.compile(r"(\{n?\})")
TAKES = {"{}": "(.*?)", "{n}": r"([\d,.]+)"}


class Entry(NamedTuple):
    """One catalogue line, ready to match: what it begins with, its pattern, its translation."""

    start: str
    pattern: re.Pattern[str]
    text: str


def translate(text: str, lang: str) -> str:
    """The text in a language; as it is in English, or where no translation is known.

    >>> translate("unknown stem 'depe'; did you mean 'deep'? allowed: 7x7, deep", "zh")
    "未知的 stem：'depe'；是不是 'deep'？可选：7x7, deep"
    """
    if lang == "en" or not text:
        return text
    exact, entries = catalogue(lang)
    if text in exact:
        return exact[text]
    for entry in entries:
        found = entry.pattern.fullmatch(text) if text.startswith(entry.start) else None
        if found:
            return HOLE.sub(partial(_fill, found.groups(), lang), entry.text)
    return text


def translator(lang: str) -> Callable[[str], str]:
    """`translate` for one language."""
    return lambda text: translate(text, lang)


def preferred() -> str:
    """The language of PLUSX_LANG (`zh_CN.UTF-8` counts as zh), else English."""
    wanted = settings.language()
    return wanted if wanted in LANGUAGES else "en"


def duration(seconds: float | None) -> str:
    """A time in words.

    >>> duration(75), duration(4), duration(7300), duration(None)
    ('1 min 15 s', '4 s', '2 h 1 min', 'an unknown time')
    """
    if seconds is None:
        return "an unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def bytes_text(size: int) -> str:
    """A size in words.

    >>> bytes_text(800), bytes_text(99_960), bytes_text(12_300_000)
    ('0.8 kB', '100.0 kB', '12.3 MB')
    """
    value, unit = size / 1e3, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1e3, larger
    return f"{value:,.1f} {unit}"


def _fill(groups: tuple[str, ...], lang: str, hole: re.Match[str]) -> str:
    value = groups[int(hole[1])]
    return translate(value, lang) if hole[2] else value


@cache
def catalogue(lang: str) -> tuple[Mapping[str, str], list[Entry]]:
    """Whole texts, and those with holes: the ones with more text of their own first."""
    lines: dict[str, str] = {}
    for part in PARTS:
        lines |= import_module(f"plusx.i18n.{lang}_{part}").TEXTS
    exact = {english: text for english, text in lines.items() if not ENGLISH_HOLE.search(english)}
    holed = sorted(
        (english for english in lines if english not in exact), key=lambda english: -len(ENGLISH_HOLE.sub("", english))
    )
    return exact, [Entry(ENGLISH_HOLE.split(english)[0], _pattern(english), lines[english]) for english in holed]


def _pattern(english: str) -> re.Pattern[str]:
    pieces = ENGLISH_HOLE.split(english)
    return re.compile("".join(TAKES.get(piece) or re.escape(piece) for piece in pieces), re.DOTALL)
