"""Texts from outside (names of files, classes and tensors) without what a terminal would obey or a line would end at."""

from __future__ import annotations

import re
import string
from typing import Any

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (C0, C1 and DEL), line and paragraph separators, what turns the writing direction, lone surrogates."""


def visible(text: str) -> str:
    """The text on one line, with every character that is no writing as Python escapes it.

    A byte of a file name that is no UTF-8, which Python keeps as a lone surrogate (PEP 383), is shown as that byte.

    >>> print(visible("a\\nb"), visible("\\x1b[31mred"), visible("caf\\udce9"), visible("猫 🐈"))
    a\\nb \\x1b[31mred caf\\xe9 猫 🐈
    """
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(found[0])[1:-1]


class VisibleFormatter(string.Formatter):
    """Fills a template; texts of values are made visible, except in messages, which are so already."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if type(value) is str or not isinstance(value, str):
            return visible(format(value, format_spec))
        return format(value, format_spec)


FORMATTER = VisibleFormatter()
