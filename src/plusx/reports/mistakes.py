"""mistakes.json of a run: what the network in its bundle is most wrong about, as small images with heat maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plusx.bundles.atomic import Json, read_sealed, sealed_bytes, write_file
from plusx.errors import BundleError

FILE = "mistakes.json"
SCHEMA = "plusx.mistakes/1"
MOST_ROWS = 100
_IMAGE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")


@dataclass(frozen=True)
class MistakeRow:
    """A mistake: the image's path, its class and the predicted one with their probabilities, and the loss in nats.

    `image` is a small copy as a data URI, `cam` one under the heat map of the predicted class.
    """

    path: str
    label: str
    predicted: str
    p_label: float
    p_predicted: float
    nll: float
    image: str
    cam: str
    worst: bool
    """Among the largest losses; else among the most certain of the others."""


def write_mistakes(run: Path, weights_sha256: str, rows: Sequence[MistakeRow]) -> None:
    """Replace RUN/mistakes.json. Raises RunError."""
    content = {"schema": SCHEMA, "weights": weights_sha256, "mistakes": [asdict(row) for row in rows]}
    write_file(run / FILE, sealed_bytes(content))


def read_mistakes(run: Path, weights_sha256: str | None) -> list[MistakeRow]:
    """The rows, worst first; none where they are missing, damaged, or those of other weights."""
    try:
        found = read_sealed(run / FILE, SCHEMA)
    except BundleError:
        return []
    rows = found.get("mistakes")
    if weights_sha256 is None or found.get("weights") != weights_sha256 or not isinstance(rows, list):
        return []
    return [MistakeRow(**row) for row in rows[:MOST_ROWS] if _is_row(row)]


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and row.keys() == MistakeRow.__dataclass_fields__.keys()
        and all(isinstance(row[key], str) for key in ("path", "label", "predicted", "image", "cam"))
        and all(_IMAGE.fullmatch(row[key]) for key in ("image", "cam"))
        and all(_is_share(row, key) for key in ("p_label", "p_predicted"))
        and isinstance(row["nll"], int | float)
        and isinstance(row["worst"], bool)
    )


def _is_share(row: Json, key: str) -> bool:
    return isinstance(row[key], int | float) and 0 <= row[key] <= 1
