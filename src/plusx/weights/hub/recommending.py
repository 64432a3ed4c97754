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
    found = best(entry for entry in ENTRIES.values() if entry.spec is not None and _trained(entry.spec) == wanted)
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


def poor_features(entry: Entry) -> Message | None:
    """A line on weights whose frozen features are known to be poor, with better ones where there are some."""
    if entry.frozen.verdict != "poor" or entry.spec is None:
        return None
    better = recommended(entry.spec)
    if better.frozen.verdict == "good":
        return _(
            "frozen features of {name} are poor ({why}); {better} suits a frozen network better",
            name=entry.name,
            why=entry.frozen.why,
            better=better.name,
        )
    return _("frozen features of {name} are poor ({why})", name=entry.name, why=entry.frozen.why)


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
