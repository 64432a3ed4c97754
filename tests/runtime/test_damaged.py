"""Thousands of damaged images through `plusx predict` itself, each batch in a process of its own, so that a crash shows."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mutating import mutant, whole_images
from waiting import HANG

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")

SECONDS, MEGABYTES = HANG, 1500
"""A batch may take so long and hold so much; 89 million pixels, the cap, are 270 MB in each of two workers."""


@dataclass(frozen=True)
class Outcome:
    """What a child left: its exit code (negative: the signal that killed it; None: the clock did), memory, rows."""

    code: int | None
    peak_mb: float
    rows: list[dict[str, str]]


def predicted(bundle: Path, folder: Path, out: Path, before: str = "", seconds: float = SECONDS) -> Outcome:
    """`plusx predict` in a new process; `before` is code that runs first there, to plant a defect."""
    words = ["predict", str(bundle), str(folder), "-o", str(out), "--engine", "openvino", "--precision", "fp32"]
    code = f"""
import re, resource, sys
from pathlib import Path
{before}
from plusx.cli.main import main
code = main({words!r})
status = Path("/proc/self/status")  # Linux counts the parent's pages, pytest's, into ru_maxrss
peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak, file=sys.stderr)
sys.exit(code)
"""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=seconds, cwd=folder.parent)
        status, err = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        status, err = None, b""
    with out.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    last = err.split()[-1] if err.split() else b"0"
    return Outcome(status, int(last) / 1024 if last.isdigit() else 0, rows)


def write(folder: Path, numbers: range, seed: int) -> list[str]:
    folder.mkdir()
    images = whole_images()
    names = []
    for number in numbers:
        name, raw = mutant(images, number, seed)
        (folder / name).write_bytes(raw)
        names.append(name)
    return names


def hold(outcome: Outcome, names: list[str]) -> None:
    """No crash, no hang, one row each in order, with classes or one line that says why not; bounded memory."""
    got = [Path(row["path"]).name for row in outcome.rows]
    assert outcome.code == 0, f"ended with {outcome.code} at or after {got[-1] if got else names[0]}"
    assert got == names
    for row in outcome.rows:
        assert bool(row["error"]) is not bool(row["class1"]), row
        assert "\n" not in row["error"] and "Traceback" not in row["error"] and len(row["error"]) < 400, row
    assert 0 < outcome.peak_mb < MEGABYTES


def test_every_kind_is_read_when_it_is_whole(photos: Path, tmp_path: Path) -> None:
    """Else the damage would prove nothing."""
    (tmp_path / "all").mkdir()
    images = whole_images()
    for name, raw in images.items():
        (tmp_path / "all" / name).write_bytes(raw)
    outcome = predicted(photos, tmp_path / "all", tmp_path / "rows.csv")
    hold(outcome, sorted(images))
    assert not [row for row in outcome.rows if row["error"]]


def test_damaged_images_are_rows(photos: Path, tmp_path: Path) -> None:
    names = write(tmp_path / "some", range(290), seed=1)
    outcome = predicted(photos, tmp_path / "some", tmp_path / "rows.csv")
    hold(outcome, names)
    failed = sum(bool(row["error"]) for row in outcome.rows)
    assert 60 < failed < 260, "of 290; damage must break some and spare some, or the changes are no good"


def test_a_crash_a_hang_and_a_lost_row_would_be_seen(photos: Path, tmp_path: Path) -> None:
    """Negative control: a decoder that kills the process, one that never ends, and a pipeline that drops a row."""
    names = write(tmp_path / "few", range(12), seed=2)
    decoder = "import os, time\nimport plusx.runtime.pipeline as p\nreal = p.read_file\n"
    for planted in ("os.abort()", "time.sleep(60)"):
        before = f"{decoder}def broken(source, *a, **k):\n  if '000007' in str(source): {planted}\n  return real(source, *a, **k)\np.read_file = broken"
        outcome = predicted(photos, tmp_path / "few", tmp_path / "rows.csv", before, seconds=8)
        with pytest.raises(AssertionError, match="ended with"):
            hold(outcome, names)
    before = "import plusx.runtime.pipeline as p\nreal = p.Pipeline.run\np.Pipeline.run = lambda s, items: (r for r in real(s, items) if '000007' not in r[0])"
    with pytest.raises(AssertionError):
        hold(predicted(photos, tmp_path / "few", tmp_path / "rows.csv", before), names)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(12))
def test_thousands_of_damaged_images(part: int, photos: Path, tmp_path: Path) -> None:
    """12 x 500 files; PLUSX_TEST_SEED takes others."""
    names = write(
        tmp_path / "many", range(500 * part, 500 * (part + 1)), seed=int(os.environ.get("PLUSX_TEST_SEED", "0"))
    )
    outcome = predicted(photos, tmp_path / "many", tmp_path / "rows.csv")
    hold(outcome, names)
    print(
        f"part {part}: {sum(bool(row['error']) for row in outcome.rows)} of 500 refused, peak {outcome.peak_mb:.0f} MB"
    )
