"""Who is told how far a download is. The command line draws a line on a terminal; a Python program reads plusx's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from plusx.i18n import Message, _

log = logging.getLogger("plusx")


class Watch:
    """Is told of downloads; this one ignores everything."""

    def started(self, name: str, done: int, whole: int | None) -> None:
        """A file of `whole` bytes begins to arrive; `done` bytes were there from an earlier attempt."""

    def moved(self, done: int) -> None:
        """`done` bytes of the file are there."""

    def ended(self) -> None:
        """No more bytes of this file will come; may be called twice."""

    def waits(self, why: Message) -> None:
        """Nothing happens for a while, for a reason that a user should know."""


class LoggingWatch(Watch):
    """Writes to plusx's log what is downloaded, and as a warning why nothing happens."""

    def started(self, name: str, done: int, whole: int | None) -> None:
        if whole is None:
            log.info("%s", _("downloading {name}", name=name))
        else:
            log.info("%s", _("downloading {name} ({whole:,.1f} MB)", name=name, whole=whole / 1e6))

    def waits(self, why: Message) -> None:
        log.warning("%s", why)


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Inside, `watch` is told of each download."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def current_watch() -> Watch:
    return _watch.get() or LoggingWatch()
