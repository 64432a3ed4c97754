"""The environment variables of plusx. No other module reads them.

PLUSX_THREADS   the number of threads
PLUSX_LANG      the language of messages and reports
PLUSX_CACHE     the folder of files that plusx can download or compute again
PLUSX_OFFLINE   if set and not 0, nothing is downloaded
COLUMNS         the width of tables and paragraphs, in a terminal or not
PLUSX_TOKEN     the token that clients of plusx serve have to send
NO_COLOR        if set and not empty, no colours are printed (no-color.org)
"""

from __future__ import annotations

import os
from pathlib import Path

from plusx.errors import SpecError
from plusx.i18n import LANGUAGES, _

MAX_THREADS = 1024
"""More than any machine for which plusx is made has; a larger number is a mistake that would exhaust the system's threads."""
MAX_SEED = (1 << 63) - 1
"""The largest seed: what the 64-bit integers of numpy, torch and JSON readers hold."""


def threads() -> int | None:
    """PLUSX_THREADS, or None where it is not set. Raises SpecError."""
    text = os.environ.get("PLUSX_THREADS", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise SpecError(
            _("PLUSX_THREADS={text!r} is not a whole number from 1 to {limit}. Set a number like 4, or unset it.",
              text=text, limit=MAX_THREADS)
        )  # fmt: skip
    return check_threads(int(text), "PLUSX_THREADS")


def check_threads(count: int, name: str = "threads") -> int:
    """`count`, if it is a sensible number of threads. Raises SpecError, whose text calls it `name`."""
    if not 1 <= count <= MAX_THREADS:
        raise SpecError(
            _("{name}={count} is out of range. Write a number of threads from 1 to {limit}.",
              name=name, count=count, limit=MAX_THREADS)
        )  # fmt: skip
    return count


def check_seed(seed: int) -> int:
    """`seed`, if it is from 0 to MAX_SEED. Raises SpecError."""
    if not 0 <= seed <= MAX_SEED:
        raise SpecError(
            _("seed={seed} is out of range. Write a whole number from 0 to {limit}.", seed=seed, limit=MAX_SEED)
        )
    return seed


def language() -> str:
    """The language of PLUSX_LANG (`zh_CN.UTF-8` is zh), else English."""
    wanted = os.environ.get("PLUSX_LANG", "")[:2].lower()
    return wanted if wanted in LANGUAGES else "en"


def columns() -> int | None:
    """COLUMNS, or None where it is not set or not a number above 0."""
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) > 0 else None


def cache_dir() -> Path:
    """The folder for caches: PLUSX_CACHE, else the platform's, which on Linux is XDG_CACHE_HOME/plusx or ~/.cache/plusx.

    Raises SpecError for a user without a home folder.
    """
    if own := os.environ.get("PLUSX_CACHE"):
        return Path(os.path.expanduser(own))
    from platformdirs import user_cache_dir

    try:
        folder = user_cache_dir("plusx", appauthor=False)
    except RuntimeError:  # a user whom the system does not know, as in some containers
        folder = "~"
    if folder.startswith("~"):  # what earlier versions of platformdirs return for such a user
        raise SpecError(_("This user has no home folder for a cache. Set PLUSX_CACHE to a folder."))
    return Path(folder)


def offline() -> bool:
    """Whether downloads are forbidden."""
    return os.environ.get("PLUSX_OFFLINE", "").strip() not in ("", "0")


def token() -> str | None:
    """PLUSX_TOKEN, or None where it is not set or empty. Raises SpecError."""
    text = os.environ.get("PLUSX_TOKEN", "").strip()
    if text and not (text.isascii() and text.isprintable() and " " not in text):
        raise SpecError(_("PLUSX_TOKEN is no token. Set it to letters and digits without spaces, or unset it."))
    return text or None


def no_color() -> bool:
    """Whether colours are unwanted."""
    return bool(os.environ.get("NO_COLOR"))
