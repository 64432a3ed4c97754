"""Lines on the screen, in the language of the command that runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from plusx.i18n import Message, _, translate

_language: ContextVar[str] = ContextVar("language", default="en")


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Inside, everything that this module prints is translated to `lang`."""
    token = _language.set(lang)
    try:
        yield
    finally:
        _language.reset(token)


def localized(text: str) -> str:
    """The text in the language of the command."""
    return translate(text, _language.get())


def say(text: str) -> None:
    """Print a line of the result on stdout."""
    print(localized(text))


def report(text: str) -> None:
    """Print a line about the work on stderr."""
    print(localized(text), file=sys.stderr)


def note(text: str) -> None:
    """Print on stderr what a user should know of the result."""
    report(_("note: {text}", text=localized(text)))


def warn(text: str) -> None:
    """Print on stderr what went wrong, under the program's name as errors are."""
    print(f"plusx: {localized(text)}", file=sys.stderr)


def listed(texts: list[Message]) -> Message:
    """Several texts as one: `a`, `a and b`, `a, b and c`.

    >>> listed([_("one"), _("two"), _("three")])
    'one, two and three'
    """
    whole = texts[-1]
    for number, text in enumerate(reversed(texts[:-1])):
        pair = {"first": text, "rest": whole}
        whole = _("{first}, {rest}", **pair) if number else _("{first} and {rest}", **pair)
    return whole
