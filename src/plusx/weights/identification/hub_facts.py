"""What the table of hub weights knows of a file: by the name under which it was fetched, or by its published hash."""

from __future__ import annotations

from dataclasses import replace

from plusx.errors import WeightsError
from plusx.i18n import _
from plusx.specs import ResNetSpec
from plusx.weights.hub.entries import entry_of_sha256
from plusx.weights.hub.entry import Entry
from plusx.weights.identification.nearest_preset import differences
from plusx.weights.identification.neighbours import config_preprocessing
from plusx.weights.identification.result import IN_FILE, Identification
from plusx.weights.identification.verdicts import Verdict
from plusx.weights.labelling import read_labels
from plusx.weights.stored import StoredFile


def with_hub_facts(found: Identification, stored: StoredFile) -> Identification:
    """The identification with the network, preprocessing and classes of the table, and where the file came from.

    A file that the table does not have may have timm's config.json beside it, which states its preprocessing.

    Raises WeightsError where a file that was fetched holds another network than its name says.
    """
    fetched = stored.fetched
    entry = entry_of_sha256(found.sha256 or "") if fetched is None else fetched.entry
    if fetched is not None:
        found = replace(found, hub_name=fetched.name, notes=(*found.notes, *fetched.said))
    if entry is None:
        return _with_config(found, stored)
    spec = entry.spec
    if spec is None or found.refuses is not None:
        return found
    differs = differences(found.plan.shapes, spec)
    if not differs:
        return _known(found, entry, spec)
    if fetched is None:
        return found
    raise WeightsError(
        _("{name} should hold {spec}, but {path} does not: {differs}. Delete the file to fetch it again.",
          name=entry.name, spec=spec, path=found.path, differs=differs)
    )  # fmt: skip


def _with_config(found: Identification, stored: StoredFile) -> Identification:
    known = (
        None if found.preprocessing_is_known or found.preprocessing_source == IN_FILE else config_preprocessing(stored)
    )
    if known is None or found.spec is None or found.spec.in_channels != known.channels:
        return found
    source = _("config.json beside the file")
    return replace(found, preprocessing=known, preprocessing_source=source, preprocessing_is_known=True)


def _known(found: Identification, entry: Entry, spec: ResNetSpec) -> Identification:
    why = _("it is {name}", name=entry.name)
    fields = {
        name: verdict if verdict.how == "known" else Verdict(getattr(spec, name), "known", why)
        for name, verdict in found.fields.items()
    }
    is_listed = found.classes is None and entry.labels and spec.classes
    return replace(
        found, spec=spec, fields=fields, needs={}, colour=Verdict(entry.colour, "known", why),
        classes=read_labels(entry.labels, spec.classes) if is_listed else found.classes,
        preprocessing=entry.preprocessing, preprocessing_source=entry.name, preprocessing_is_known=True,
    )  # fmt: skip
