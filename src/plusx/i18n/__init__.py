"""Languages. plusx is written in English; `_("… {name} …", name=value)` marks a text that has a translation."""

from plusx.i18n.catalogue import LANGUAGES, translate, translator
from plusx.i18n.message import Message, _, _n, joined
from plusx.i18n.quantities import bytes_text, duration
from plusx.i18n.visible import visible

__all__ = [
    "LANGUAGES",
    "Message",
    "_",
    "_n",
    "bytes_text",
    "duration",
    "joined",
    "translate",
    "translator",
    "visible",
]
