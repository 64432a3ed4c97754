"""The words of a drawing that stand in several places, and counts in three figures. Ops keep their notation in every language."""

from __future__ import annotations

from plusx.errors import PlusxError, unknown
from plusx.i18n import LANGUAGES, Message, _, translator
from plusx.text.alignment import Translate

SHORTCUTS = {
    "identity": _("identity"),
    "projection": _("projection"),
    "zeros": _("zero padding"),
    "pooled": _("pooled projection"),
}
"""The kinds of shortcuts, as `drawing.shortcut_kind` names them."""
NO_SHORTCUT = _("no shortcut: F(x) alone")


def translate_to(lang: str) -> Translate:
    """The translation to a language. Raises PlusxError with the nearest language."""
    if lang not in LANGUAGES:
        raise PlusxError(unknown(_("language"), lang, LANGUAGES))
    return translator(lang)


def input_text(channels: int, size: str) -> Message:
    return _("input {channels} × {size}", channels=channels, size=size)


def map_text(channels: int, size: str) -> Message:
    return _("map {channels} × {size}", channels=channels, size=size)


def outputs_text(n: int, *, classes: bool) -> Message:
    """What the head returns: classes, or features where the network has no fc."""
    return _("{n} classes", n=n) if classes else _("{n} features", n=n)


def part_title(name: str) -> Message:
    """The heading of a part: `Stem`, `Stage 2`, `Head`."""
    if name.startswith("layer"):
        return _("Stage {number}", number=name.removeprefix("layer"))
    return _("Stem") if name == "stem" else _("Head")


def costs(params: int, macs: int) -> list[Message]:
    """Parameters and multiply-adds; what is 0 is omitted."""
    found = [_("{n} params", n=count(params))] if params else []
    return [*found, _("{n} MACs", n=count(macs))] if macs else found


def comparison_title(first: str, second: str) -> Message:
    return _("{first} against {second}", first=first, second=second)


def count(number: int) -> str:
    """A count in three figures.

    >>> count(25_557_032), count(4_089_184_256), count(999_999), count(640)
    ('25.6 M', '4.09 G', '1.00 M', '640')
    """
    if number < 1000:
        return str(number)
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        value = number / size
        if value < 999.5 or unit == "T":
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"
