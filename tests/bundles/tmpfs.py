"""A small disk of one's own, to fill: a tmpfs where this process may mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from waiting import HANG

PAGE = 4096


@contextmanager
def small_disk(at: Path, pages: int) -> Iterator[Path]:
    """A tmpfs of `pages` pages, mounted at `at`; skips the test where that is not allowed (not root, not Linux)."""
    at.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={pages * PAGE}", "none", str(at)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=HANG)
    except OSError as error:
        pytest.skip(f"no mount here ({error})")
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here ({done.stderr.strip()})")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True, timeout=HANG)


def fill(disk: Path, leave_pages: int) -> Path:
    """A file that takes all of `disk` but `leave_pages` pages; returns it."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    stat = os.statvfs(disk)
    free = stat.f_bavail * stat.f_frsize // PAGE
    assert free >= leave_pages, "the disk was fuller than that before"
    ballast.write_bytes(b"x" * ((free - leave_pages) * PAGE))
    return ballast
