"""The environment variables that plusx obeys, read here and nowhere else.

PLUSX_THREADS   how many threads work
PLUSX_LANG      the language of messages and reports
PLUSX_CACHE     where plusx keeps what it can make again
PLUSX_OFFLINE   set and not 0: nothing is downloaded
COLUMNS         how wide tables and paragraphs may be, in a terminal or not
NO_COLOR        set and not empty: no colours (no-color.org)
"""

from __future__ import annotations

import os
from pathlib import Path

from plusx.errors import SpecError
from plusx.i18n import LANGUAGES

MOST_THREADS = 1024
"""Above any machine that plusx was made for: a larger number is a slip, and would only exhaust the system's threads."""


def threads() -> int | None:
    """PLUSX_THREADS, or None where it is not set. Raises SpecError."""
    text = os.environ.get("PLUSX_THREADS", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise SpecError(
            f"PLUSX_THREADS={text!r} is not a whole number from 1 to {MOST_THREADS}. Set one like 4, or unset it."
        )
    return check_threads(int(text), "PLUSX_THREADS")


def check_threads(count: int, name: str = "threads") -> int:
    """`count`, if so many threads can be meant. Raises SpecError that calls it `name`."""
    if not 1 <= count <= MOST_THREADS:
        raise SpecError(f"{name}={count} is out of range. Write a number of threads from 1 to {MOST_THREADS}.")
    return count


def language() -> str:
    """The language of PLUSX_LANG (`zh_CN.UTF-8` counts as zh), else English."""
    wanted = os.environ.get("PLUSX_LANG", "")[:2].lower()
    return wanted if wanted in LANGUAGES else "en"


def columns() -> int | None:
    """COLUMNS, or None where it is not set or not a number above 0."""
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0 else None


def cache_dir() -> Path:
    """Where plusx keeps what it can make again: PLUSX_CACHE, else XDG_CACHE_HOME/plusx, else ~/.cache/plusx.

    Raises SpecError for a user without a home.
    """
    if own := os.environ.get("PLUSX_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if base.startswith("~"):  # a user whom the system does not know, as in some containers
        raise SpecError("This user has no home folder to keep a cache in. Set PLUSX_CACHE to a folder.")
    return Path(base) / "plusx"


def offline() -> bool:
    """Whether downloads are forbidden."""
    return os.environ.get("PLUSX_OFFLINE", "").strip() not in ("", "0")


def no_color() -> bool:
    """Whether colours are unwanted."""
    return bool(os.environ.get("NO_COLOR"))
