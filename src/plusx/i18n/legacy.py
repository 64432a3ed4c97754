"""The old way, going away room by room: patterns over finished English sentences.

A catalogue maps an English text with holes, `groups={} does not divide {}` (`{n}` takes a number alone), to one with numbered
holes, `{0} … {1}`; a hole `{0:t}` is translated in its turn. A text that no entry fits stays as it is: a missing translation never hides a result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from typing import NamedTuple

PARTS = ("errors", "runs", "cli")
HOLE = re.compile(r"\{(\d)(:t)?\}")
ENGLISH_HOLE = re.compile(r"(\{n?\})")
TAKES = {"{}": "(.*?)", "{n}": r"([\d,.]+)"}


class Entry(NamedTuple):
    """One catalogue line, ready to match: what it begins with, its pattern, its translation."""

    start: str
    pattern: re.Pattern[str]
    text: str


def translate_by_pattern(text: str, lang: str) -> str:
    """The text in a language; as it is in English, or where no translation is known.

    >>> translate_by_pattern("The disk is full (x). Free some space and run the same command again.", "zh")
    '磁盘已满（x）。请腾出空间后再运行同一命令。'
    """
    if lang == "en" or not text:
        return text
    exact, entries = patterns(lang)
    if text in exact:
        return exact[text]
    for entry in entries:
        found = entry.pattern.fullmatch(text) if text.startswith(entry.start) else None
        if found:
            return HOLE.sub(partial(_fill, found.groups(), lang), entry.text)
    return text


def _fill(groups: tuple[str, ...], lang: str, hole: re.Match[str]) -> str:
    value = groups[int(hole[1])]
    return translate_by_pattern(value, lang) if hole[2] else value


@cache
def patterns(lang: str) -> tuple[Mapping[str, str], list[Entry]]:
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
