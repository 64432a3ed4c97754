"""Which of the shipped weights is best for a network: good frozen features first, since the others make probes worse."""

from __future__ import annotations

from collections.abc import Iterable

from plusx.errors import WeightsError
from plusx.i18n import Message, _
from plusx.specs import ResNetSpec
from plusx.specs.fields import DEFAULTS
from plusx.weights.hub.entries import ENTRIES
from plusx.weights.hub.entry import Entry

ORDER = ("good", "unknown", "poor")


def best(entries: Iterable[Entry]) -> Entry | None:
    """The entry with the best frozen features; among equals the first of the table."""
    return min((e for e in entries if e.words), key=lambda e: ORDER.index(e.frozen.verdict), default=None)


def recommended(network: ResNetSpec) -> Entry:
    """The best weights for a network; classes, channels, dilation, dropout and a cut do not matter. Raises WeightsError."""
    wanted = _trained(network)
    found = best(entry for entry in ENTRIES.values() if entry.spec == wanted)
    if found is None:
        known = dict.fromkeys(entry.words for entry in ENTRIES.values() if entry.words)
        raise WeightsError(
            _("No ImageNet weights are known for {network}. There are some for {known}.", network=wanted, known=", ".join(known))
        )  # fmt: skip
    return found


def why(entry: Entry) -> Message:
    """A line on weights that were recommended."""
    if entry.frozen.verdict == "good":
        return _("{name} is taken: its frozen features are good ({why})", name=entry.name, why=entry.frozen.why)
    return _("{name} is taken: no weights with good frozen features are known for this network ({why})", name=entry.name, why=entry.frozen.why)  # fmt: skip


_IRRELEVANT = (
    "output_stride", "dilate", "multi_grid", "drop_path", "block_dropout", "head_dropout", "zero_init", "in_channels", "classes",
)  # fmt: skip
"""Fields that change no tensor, or only those that are replaced for other images and classes."""


def _trained(network: ResNetSpec) -> ResNetSpec:
    """The network that such weights were trained as."""
    whole = network.replace(until=None) if network.until is not None else network
    stages = len(whole.depths)
    natural = {"strides": (1, *(2,) * (stages - 1)), "dilations": (1,) * stages}
    norm = {"norm": "batch"} if network.norm == "frozen" else {}
    return whole.replace(**{name: DEFAULTS[name] for name in _IRRELEVANT}, **natural, **norm)
