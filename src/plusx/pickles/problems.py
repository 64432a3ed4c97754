"""The error of this room: a few words that complete "cannot read …: "."""

from __future__ import annotations

from plusx.i18n import Message


class BadPickle(Exception):
    """Why a pickle cannot be read, as a clause without the file's name: the caller says which file and what to do."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message
