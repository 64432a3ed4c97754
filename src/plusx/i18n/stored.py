"""Messages as plain values, for JSON, so that they can still be translated when they are read back."""

from __future__ import annotations

from typing import Any

from plusx.i18n.message import Message


def stored_message(text: Message | str) -> Any:
    """A text as JSON keeps it: a message with its template and values, so that it can still be translated."""
    if not isinstance(text, Message):
        return str(text)
    values = {
        name: value if isinstance(value, int | float) else stored_message(value) for name, value in text.values.items()
    }
    return {"template": text.template, "plural": text.plural, "number": text.number, "values": values}


def loaded_message(kept: Any) -> Message | str:
    """The inverse of `stored_message`."""
    if not isinstance(kept, dict):
        return str(kept)
    values = {
        name: value if isinstance(value, int | float) else loaded_message(value)
        for name, value in kept["values"].items()
    }
    return Message(kept["template"], kept["plural"], kept["number"], values)
