"""What is written beside a file of the cache: where it came from, and its hash when it was first seen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from plusx.errors import WeightsError
from plusx.i18n import _

SCHEMA = "plusx.fetched/1"
MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class FetchedRecord:
    """`commit` is the revision of the repository that the hub named, or empty."""

    url: str
    sha256: str
    bytes: int
    commit: str = ""


def record_path(place: Path) -> Path:
    """Hidden, as all that is not a file itself: names of fetched files never begin with a dot (`remote.RemoteFile.place`)."""
    return place.with_name(f".{place.name}.record.json")


def read_record(place: Path) -> FetchedRecord | None:
    """The record of the file at `place`, which may outlive the file. Raises WeightsError for a damaged one."""
    path = record_path(place)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            found = json.loads(file.read(MOST_BYTES))
        if found["schema"] != SCHEMA or not isinstance(found["sha256"], str) or len(found["sha256"]) != 64:
            raise ValueError
        return FetchedRecord(str(found["url"]), found["sha256"], int(found["bytes"]), str(found["commit"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise WeightsError(
            _("{path} is damaged, and {file} cannot be compared with it. Delete both to fetch the file again.",
              path=path, file=place.name)
        ) from None  # fmt: skip


def write_record(place: Path, record: FetchedRecord) -> None:
    """Raises RunError where the disk refuses."""
    from plusx.bundles.atomic import write_file

    write_file(record_path(place), json.dumps({"schema": SCHEMA} | asdict(record), indent=1).encode() + b"\n")
