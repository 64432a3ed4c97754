"""The one language of plusx: key=value words. Networks, blocks and recipes each bring a `Language` of their own keys.

What is printed reads back as the same value, whatever the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from plusx.errors import SpecError, unknown

Parse = Callable[[str], Any]


class Key(NamedTuple):
    """One key. `parse` turns a text into a value; it raises LookupError with the words that are allowed, or ValueError with
    what the key takes. `allowed` and `meaning` are for people. `none` is the word for None; `unwritten` are values that
    stand by default and have no word.
    """

    parse: Parse
    allowed: str
    meaning: str
    none: str = ""
    unwritten: tuple[Any, ...] = ()


def choice(*words: str) -> Parse:
    def parse(text: str) -> str:
        if text not in words:
            raise LookupError(words)
        return text

    return parse


def whole(low: int, high: int, because: str = "", none: str = "") -> Parse:
    """A whole number, or the word `none` for None; `because` says why the range is what it is."""
    takes = (
        f"a whole number from {low} to {high}" + (f" ({because})" if because else "") + (f", or {none}" if none else "")
    )

    def parse(text: str) -> int | None:
        if none and text == none:
            return None
        if not re.fullmatch(r"\d{1,7}", text) or not low <= int(text) <= high:
            raise ValueError(takes)
        return int(text)

    return parse


def numbers(low: int, high: int, most: int) -> Parse:
    def parse(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        if len(parts) > most or not all(re.fullmatch(r"\d{1,6}", p) and low <= int(p) <= high for p in parts):
            raise ValueError(f"1 to {most} whole numbers from {low} to {high}, like 1,2,2,2")
        return tuple(int(p) for p in parts)

    return parse


def number(takes: str, holds: Callable[[float], bool]) -> Parse:
    """A finite number for which `holds` is true; `takes` says so in words."""

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
    return number("a number from 0 to below 1", lambda value: 0 <= value < 1)


def up_to_one() -> Parse:
    return number("a number from 0 to 1", lambda value: 0 <= value <= 1)


def above_zero() -> Parse:
    return number("a number above 0", lambda value: value > 0)


def share() -> Parse:
    return number("a number above 0, up to 1", lambda value: 0 < value <= 1)


def not_negative() -> Parse:
    return number("a number from 0 on", lambda value: value >= 0)


def yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise LookupError(("yes", "no"))
    return text == "yes"


YES_NO = {"true": "yes", "on": "yes", "1": "yes", "false": "no", "off": "no", "0": "no"}


@dataclass(frozen=True)
class Language:
    """Keys and what people write instead of them.

    `what` names a key in errors, `example` is one word. `renamed` maps names from other libraries to keys, `elsewhere` maps
    them (`{key}`) to a sentence where the matter is no key here, `respelt` maps values per key. None of them is accepted silently: the
    error holds the right word.
    """

    what: str
    keys: Mapping[str, Key]
    example: str
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    elsewhere: Mapping[str, str] = field(default_factory=dict[str, str])
    respelt: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    def read(self, words: Iterable[str]) -> dict[str, Any]:
        """Values of key=value words, each key once. Raises SpecError."""
        found: dict[str, Any] = {}
        for word in words:
            key, equals, text = word.partition("=")
            if not equals:
                raise SpecError(f"{word!r} is not a key=value word. Write words like {self.example}.")
            if key in found:
                raise SpecError(f"{key} is written twice ({self.show(key, found[key])} and {text}). Leave one out.")
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
                raise SpecError(f"{text} is written {right} in plusx. Write {key}={right}.") from None
            if isinstance(error, LookupError):
                raise SpecError(unknown(key, text, error.args[0])) from None
            raise SpecError(f"{key} takes {error}, not {text!r}.") from None

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values given by Python, JSON or TOML, checked like words; text is read as in a line. Raises SpecError."""
        found: dict[str, Any] = {}
        for key, given in values.items():
            value = tuple(cast("list[object]", given)) if isinstance(given, list) else given
            known = self.keys.get(key)
            if known and any(value == each and type(value) is type(each) for each in known.unwritten):
                found[key] = value
            else:
                found[key] = self.value(key, value if isinstance(value, str) else self.show(key, value))
        return found

    def show(self, key: str, value: Any) -> str:
        """How a value is written; empty where it stands by default and has no word."""
        if key in self.keys and value in self.keys[key].unwritten:
            return ""
        return (self.keys[key].none if key in self.keys and value is None else "") or show_value(value)

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The key=value words that read back as `values`."""
        return [f"{key}={self.show(key, value)}" for key, value in values.items()]

    def _unknown(self, key: str, text: str) -> str:
        plain = key.lower().replace("-", "_")
        if plain in self.elsewhere:
            return self.elsewhere[plain].format(key=key)
        right = plain if plain in self.keys else self.renamed.get(plain)
        if right is None:
            return unknown(self.what, key, self.keys)
        value = self._usable(right, text)
        if value is None:
            return (
                f"{key} is written {right} in plusx. Write it like {right}={self.keys[right].allowed.split(', ')[0]}."
            )
        return f"{key} is written {right} in plusx. Write {right}={value}."

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
