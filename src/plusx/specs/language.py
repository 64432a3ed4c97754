"""The key=value language of plusx. Networks, blocks and recipes each have a `Language` with their own keys.

A printed value parses to the same value, whatever the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from plusx.errors import SpecError, unknown
from plusx.i18n import Message, _

Parse = Callable[[str], Any]


class Key(NamedTuple):
    """One key of a language.

    `parse` turns a text into a value. It raises LookupError with the allowed words, or ValueError with a message that says
    what the key takes. `allowed` and `meaning` are shown to people. `none` is the word for None. `unwritten` are values
    that occur as defaults and have no word.
    """

    parse: Parse
    allowed: str
    meaning: str
    none: str = ""
    unwritten: tuple[Any, ...] = ()


def choice(*words: str) -> Parse:
    """Parses one of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise LookupError(words)
        return text

    return parse


def whole(low: int, high: int, because: str = "", none: str = "") -> Parse:
    """Parses a whole number, or the word `none` as None. `because` gives the reason for the range."""
    if because:
        takes = _("a whole number from {low} to {high} ({because})", low=low, high=high, because=because)
    elif none:
        takes = _("a whole number from {low} to {high}, or {none}", low=low, high=high, none=none)
    else:
        takes = _("a whole number from {low} to {high}", low=low, high=high)

    def parse(text: str) -> int | None:
        if none and text == none:
            return None
        if not re.fullmatch(r"\d{1,7}", text) or not low <= int(text) <= high:
            raise ValueError(takes)
        return int(text)

    return parse


def rising_shares(most: int) -> Parse:
    """Parses up to `most` numbers between 0 and 1 with commas between them, each above the one before."""
    takes = _("1 to {most} rising numbers between 0 and 1, like 0.5,0.75", most=most)

    def parse(text: str) -> tuple[float, ...]:
        try:
            found = tuple(float(part) for part in text.split(","))
        except ValueError:
            raise ValueError(takes) from None
        if len(found) > most or not all(a < b for a, b in zip((0.0, *found), (*found, 1.0), strict=True)):
            raise ValueError(takes)
        return found

    return parse


def numbers(low: int, high: int, most: int) -> Parse:
    """Parses up to `most` whole numbers with commas between them."""

    def parse(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        if len(parts) > most or not all(re.fullmatch(r"\d{1,6}", p) and low <= int(p) <= high for p in parts):
            raise ValueError(
                _("1 to {most} whole numbers from {low} to {high}, like 1,2,2,2", most=most, low=low, high=high)
            )
        return tuple(int(p) for p in parts)

    return parse


def number(takes: Message, holds: Callable[[float], bool]) -> Parse:
    """Parses a finite number for which `holds` is true. `takes` is the same condition in words."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(takes) from None
        if not (holds(value) and abs(value) < float("inf")):
            raise ValueError(takes)
        return value

    return parse


def below_one() -> Parse:
    return number(_("a number from 0 to below 1"), lambda value: 0 <= value < 1)


def up_to_one() -> Parse:
    return number(_("a number from 0 to 1"), lambda value: 0 <= value <= 1)


def above_zero() -> Parse:
    return number(_("a number above 0"), lambda value: value > 0)


def share() -> Parse:
    return number(_("a number above 0, up to 1"), lambda value: 0 < value <= 1)


def not_negative() -> Parse:
    return number(_("a number of 0 or more"), lambda value: value >= 0)


def yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise LookupError(("yes", "no"))
    return text == "yes"


YES_NO = {"true": "yes", "on": "yes", "1": "yes", "false": "no", "off": "no", "0": "no"}


@dataclass(frozen=True)
class Language:
    """Keys, and what people who know other libraries write instead of them.

    `what` names a key in errors, and `example` is one word. `renamed` maps names of other libraries to keys. `elsewhere` maps
    names that are no key here to a message with a hole `{key}`. `respelt` maps values of a key. Such words are never
    accepted: the error shows the right word. `spellings` maps another spelling of a key to it, which is accepted.
    """

    what: str
    keys: Mapping[str, Key]
    example: str
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    elsewhere: Mapping[str, str] = field(default_factory=dict[str, str])
    respelt: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    spellings: Mapping[str, str] = field(default_factory=dict[str, str])

    def read(self, words: Iterable[str]) -> dict[str, Any]:
        """The values of key=value words; each key may occur once. Raises SpecError."""
        found: dict[str, Any] = {}
        for word in words:
            key, equals, text = word.partition("=")
            if not equals:
                raise SpecError(
                    _("{word!r} is not a key=value word. Write words like {example}.", word=word, example=self.example)
                )
            key = self.spellings.get(key, key)
            if key in found:
                raise SpecError(
                    _("{key} is written twice ({first} and {second}). Leave one out.",
                      key=key, first=self.show(key, found[key]), second=text)
                )  # fmt: skip
            found[key] = self.value(key, text)
        return found

    def value(self, key: str, text: str) -> Any:
        """The value of one `key=text` word. Raises SpecError with the nearest and the allowed values."""
        if key not in self.keys:
            raise SpecError(self._unknown(key, text))
        try:
            return self.keys[key].parse(text)
        except (LookupError, ValueError) as error:
            right = self._respelt(key, text)
            if right is not None:
                raise SpecError(_written(text, right, f"{key}={right}")) from None
            if isinstance(error, LookupError):
                raise SpecError(unknown(key, text, error.args[0])) from None
            raise SpecError(_("{key} takes {takes}, not {text!r}.", key=key, takes=error.args[0], text=text)) from None

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values from Python, JSON or TOML, checked as words are; text is parsed as in a line of words. Raises SpecError."""
        found: dict[str, Any] = {}
        for name, given in values.items():
            key = self.spellings.get(name, name)
            value = tuple(cast("list[object]", given)) if isinstance(given, list) else given
            known = self.keys.get(key)
            if known and any(value == each and type(value) is type(each) for each in known.unwritten):
                found[key] = value
            else:
                found[key] = self.value(key, value if isinstance(value, str) else self.show(key, value))
        return found

    def show(self, key: str, value: Any) -> str:
        """How a value is written; empty where it has no word."""
        if key in self.keys and value in self.keys[key].unwritten:
            return ""
        return (self.keys[key].none if key in self.keys and value is None else "") or show_value(value)

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The key=value words that read back as `values`."""
        return [f"{key}={self.show(key, value)}" for key, value in values.items()]

    def _unknown(self, key: str, text: str) -> Message:
        plain = key.lower().replace("-", "_")
        if plain in self.elsewhere:
            return Message(str(self.elsewhere[plain]), values={"key": key})
        right = plain if plain in self.keys else self.renamed.get(plain)
        if right is None:
            return unknown(self.what, key, self.keys)
        value = self._usable(right, text)
        return _written(key, right, f"{right}={value or self.keys[right].allowed.split(', ')[0]}", like=value is None)

    def _usable(self, key: str, text: str) -> str | None:
        """`text` where the key takes it, else its right spelling where that is known."""
        try:
            self.keys[key].parse(text)
        except (LookupError, ValueError):
            return self._respelt(key, text)
        return text

    def _respelt(self, key: str, text: str) -> str | None:
        known = YES_NO if self.keys[key].parse is yes_no else self.respelt.get(key, {})
        return known.get(text.lower().replace("-", "_"))


def _written(theirs: str, ours: str, word: str, *, like: bool = False) -> Message:
    """The message for a word of another library: how plusx writes it."""
    if like:
        return _("{theirs} is written {ours} in plusx. Write it like {word}.", theirs=theirs, ours=ours, word=word)
    return _("{theirs} is written {ours} in plusx. Write {word}.", theirs=theirs, ours=ours, word=word)


def show_value(value: Any) -> str:
    """How a value is written in the language.

    >>> show_value((3, 4, 6, 3)), show_value(True), show_value(2.0), show_value(5e-4)
    ('3,4,6,3', 'yes', '2', '0.0005')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(str(number) for number in cast("tuple[object, ...]", value))
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)
