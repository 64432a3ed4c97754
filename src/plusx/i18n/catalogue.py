"""Translations: gettext catalogues, looked up by the exact English template of a message."""

from __future__ import annotations

import gettext
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from plusx.i18n.message import Message
from plusx.i18n.visible import VisibleFormatter

LANGUAGES = ("en", "zh")
LOCALE = Path(__file__).parent / "locale"
"""zh/ROOM.po are the sources, one file a room; zh/LC_MESSAGES/plusx.mo is made from them by scripts/messages.py."""


class _Translated(VisibleFormatter):
    """Fills a template; values that are messages are translated first. Other texts are data: a folder named `images` stays."""

    def __init__(self, lang: str) -> None:
        self.lang = lang

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        value = super().get_value(key, args, kwargs)
        return translate(value, self.lang) if isinstance(value, Message) else value


def translate(text: str, lang: str) -> str:
    """The text in a language. What has no translation stays English: a missing entry never hides a result.

    >>> from plusx.i18n import _
    >>> translate(_("{hours} h {minutes} min", hours=2, minutes=5), "zh")
    '2 小时 5 分'
    """
    if lang == "en" or not text:
        return str(text)
    found = catalogue(lang)
    if not isinstance(text, Message):
        return found.gettext(text)
    if text.plural is None:
        template = found.gettext(text.template)
    else:
        template = found.ngettext(text.template, text.plural, text.number or 0)
    return _Translated(lang).vformat(template, (), text.values) if text.values else template


def translator(lang: str) -> Callable[[str], str]:
    """`translate` for one language."""
    return lambda text: translate(text, lang)


@cache
def catalogue(lang: str) -> gettext.NullTranslations:
    """The compiled catalogue of a language; an empty one where there is none."""
    return gettext.translation("plusx", LOCALE, [lang], fallback=True)
