"""Times and sizes in words."""

from __future__ import annotations

from plusx.i18n.message import Message, _


def duration(seconds: float | None) -> Message:
    """A time in words.

    >>> duration(75), duration(4), duration(7300), duration(None)
    ('1 min 15 s', '4 s', '2 h 1 min', 'an unknown time')
    """
    if seconds is None:
        return _("an unknown time")
    whole = round(seconds)
    if whole < 60:
        return _("{seconds} s", seconds=whole)
    if whole < 3600:
        return _("{minutes} min {seconds} s", minutes=whole // 60, seconds=whole % 60)
    return _("{hours} h {minutes} min", hours=whole // 3600, minutes=whole % 3600 // 60)


def bytes_text(size: int) -> str:
    """A size in words, decimal units.

    >>> bytes_text(800), bytes_text(99_960), bytes_text(12_300_000)
    ('0.8 kB', '100.0 kB', '12.3 MB')
    """
    value, unit = size / 1e3, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1e3, larger
    return f"{value:,.1f} {unit}"
