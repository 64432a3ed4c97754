"""What has arrived of a file that is not whole yet, beside its place."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

MOST_ABOUT = 4096


@dataclass
class PartialFile:
    """The bytes so far, and the ETag that the file had when they came.

    `was_resumed` tells whether bytes of several replies were put together.
    """

    to: Path
    was_resumed: bool = False

    @property
    def path(self) -> Path:
        return self.to.with_name(f".{self.to.name}.part")

    @property
    def about(self) -> Path:
        return self.to.with_name(f".{self.to.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def etag(self) -> str:
        """The strong ETag of the file that the part belongs to, or empty: then nothing can be resumed."""
        try:
            found = json.loads(self.about.read_bytes()[:MOST_ABOUT])["etag"]
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        return found if isinstance(found, str) and re.fullmatch(r'"[!#-~]*"', found) else ""

    def begin(self, etag: str) -> None:
        self.path.write_bytes(b"")
        self.about.write_text(json.dumps({"etag": etag}), encoding="utf-8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)
