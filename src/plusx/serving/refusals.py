"""What a request is answered with where it cannot be fulfilled: a status and one sentence."""

from __future__ import annotations

from plusx.errors import PlusxError
from plusx.i18n import Message


class Refusal(PlusxError):
    """Becomes `{"error": message}` with `status`. `retry_s`: seconds after which the same request may succeed."""

    def __init__(self, status: int, message: Message, retry_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_s = status, retry_s
