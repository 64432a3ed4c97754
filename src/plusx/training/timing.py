"""The parts of a training step that a profile tells apart. Nothing is measured unless somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from plusx.i18n import Message, _

Timed = Callable[[str], AbstractContextManager[object]]
"""Gives the context in which one part runs."""

PARTS: dict[str, Message] = {
    "decode": _("read and decode"),
    "resize": _("crop and resize"),
    "augment": _("augment"),
    "wait": _("wait for images"),
    "input": _("to torch, normalise, mix"),
    "forward": _("forward"),
    "backward": _("backward"),
    "optimiser": _("optimiser"),
    "ema": _("EMA"),
}
READING = ("decode", "resize", "augment")
WAITING = "wait"


def untimed(_part: str) -> AbstractContextManager[None]:
    """Measures nothing."""
    return nullcontext()
