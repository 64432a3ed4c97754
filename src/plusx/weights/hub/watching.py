"""Who is told how far a download is. The command line draws a line on a terminal; a Python program hears nothing by default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from plusx.i18n import Message


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
    return _watch.get() or Watch()
