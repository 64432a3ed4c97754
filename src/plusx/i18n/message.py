"""A text that remembers how it was made: the English template and the values in it, so that it can be said in another language."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plusx.i18n.visible import FORMATTER


class Message(str):
    """English text made from a template; `translate` makes the same text from the translated template.

    Values are data: control characters in them are escaped, so a message stays one line (see `visible`).
    It is a `str` everywhere. What is made from it by an f-string or `+` is an ordinary `str` and keeps its English, so
    messages are nested as values instead: `_("{a} and {b}", a=_("one"), b=_("two"))`.
    """

    template: str
    plural: str | None
    number: int | None
    values: dict[str, Any]

    def __new__(
        cls, template: str, plural: str | None = None, count: int | None = None, values: dict[str, Any] | None = None
    ) -> Message:
        values = values or {}
        chosen = template if plural is None or count == 1 else plural
        self = super().__new__(cls, FORMATTER.vformat(chosen, (), values) if values else chosen)
        self.template, self.plural, self.number, self.values = template, plural, count, values
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (Message, (self.template, self.plural, self.number, self.values))


def _(template: str, /, **values: object) -> Message:
    """The message of a template and its values. A template without values is taken as it is, braces included.

    >>> _("groups={groups} does not divide {width}", groups=3, width=64)
    'groups=3 does not divide 64'
    """
    return Message(template, values=dict(values))


def _n(template: str, plural: str, n: int, /, **values: object) -> Message:
    """The message for one, or for another number of things; `{n}` is the number.

    >>> _n("{n} image", "{n} images", 3)
    '3 images'
    """
    return Message(template, plural, n, {"n": n, **values})


def joined(separator: str, messages: Iterable[str]) -> Message:
    """Several messages one behind another as one message; each is translated in its turn.

    >>> joined("; ", [_("one"), _("two")])
    'one; two'
    """
    parts = list(messages)
    return Message(
        separator.join(f"{{p{i}}}" for i in range(len(parts))), values={f"p{i}": part for i, part in enumerate(parts)}
    )
