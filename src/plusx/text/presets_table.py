"""The presets and the keys of the spec language as tables."""

from __future__ import annotations

from collections.abc import Sequence

from plusx.i18n import Message, _
from plusx.specs import KEYS, PRESETS
from plusx.text.alignment import Translate, fitted, hidden_note, paragraph


def presets_table(translate: Translate = str, width: int | None = None) -> str:
    """The name of each preset, its words, the side of its input in pixels, and its source."""
    rows = [[name, preset.words, str(preset.size_px), translate(preset.source)] for name, preset in PRESETS.items()]
    return _table((_("preset"), _("words"), _("input"), _("source")), rows, translate, width)


def keys_table(translate: Translate = str, width: int | None = None) -> str:
    """Each key, its values and its meaning."""
    rows = [[name, key.allowed, translate(key.meaning)] for name, key in KEYS.items()]
    return _table((_("key"), _("values"), _("meaning")), rows, translate, width)


def _table(heads: Sequence[Message], rows: Sequence[Sequence[str]], translate: Translate, width: int | None) -> str:
    """Words and sources are wrapped; the size of the input is hidden first."""
    named, wrap = [translate(head) for head in heads], (1, 3) if len(heads) == 4 else (1, 2)
    lines, hidden = fitted(named, rows, [False] * len(heads), width, drop=(2,) if len(heads) == 4 else (), wrap=wrap)
    notes = [line for note in hidden_note(heads, hidden) for line in paragraph(translate(note), width, "  ", "")]
    return "\n".join([*lines, *notes]) + "\n"
