"""report.html, updated while a run trains."""

from __future__ import annotations

import time
from pathlib import Path

from plusx import settings
from plusx.bundles.run_place import RUN_FILE
from plusx.reports.run_report import write_report
from plusx.training.events import Evaluated, Event, Finished
from plusx.training.recipe import shipped_values

SECONDS = 60.0


class ReportFile:
    """Writes RUN/report.html at the end, and at most once a minute after an evaluation: a run that dies has one too.

    It reads the run's other files, so it comes after the sinks that write them. `lang` None: PLUSX_LANG.
    """

    def __init__(self, run: Path, lang: str | None = None, seconds: float = SECONDS) -> None:
        self.run, self.lang, self.seconds = run, lang or settings.language(), seconds
        self.written = time.monotonic()
        self.outdated = False

    def __call__(self, event: Event) -> None:
        self.outdated = True
        if isinstance(event, Evaluated) and time.monotonic() - self.written >= self.seconds:
            self._write()
        elif isinstance(event, Finished):
            self.close()

    def close(self) -> None:
        """The end, also that of a training that failed."""
        if self.outdated and (self.run / RUN_FILE).is_file():  # stopped before it began: no run
            self._write()

    def _write(self) -> None:
        write_report(self.run, self.lang, shipped_values)
        self.written, self.outdated = time.monotonic(), False
