"""Memory of a process that predicts for long: a line through its resident size over images must not rise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shipping import fresh

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")

LEAK = 100
"""Bytes an image: less than any row kept by mistake weighs, more than an allocator's drift over the shortest run."""


def sizes(bundle: Path, image: Path, n: int, planted: str = "pass") -> np.ndarray:
    """(images, resident bytes) at a hundred places of n predictions through `Predictor.stream`."""
    code = f"""
import gc, json, os, sys
from pathlib import Path
from plusx import predictor
from plusx.runtime import Item
p = predictor(sys.argv[1], engine="openvino", precision="fp32")
raw, kept, seen, n = Path(sys.argv[2]).read_bytes(), [], [], {n}
for i, row in enumerate(p.stream(Item(str(i), raw) for i in range(n)), 1):
    {planted}
    if i % (n // 100) == 0:
        gc.collect()
        seen.append((i, int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")))
print(json.dumps(seen))
"""
    return np.array(json.loads(fresh(code, str(bundle), str(image))), dtype=np.float64)


def slope(found: np.ndarray) -> float:
    """Bytes an image, over the later three quarters: pools fill at first. Theil and Sen's, which a single step of an arena does not move."""
    x, y = found[len(found) // 4 :].T
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_is_flat_over_thousands(run: Path, digits: list[Path]) -> None:
    assert slope(sizes(run, digits[0], 6_000)) < LEAK


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_a_row_that_is_kept_would_be_seen(run: Path, digits: list[Path]) -> None:
    """Negative control: every row, five classes with their shares, stays in a list."""
    assert slope(sizes(run, digits[0], 6_000, planted="kept.append(row)")) > LEAK


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_is_flat_over_100_000(run: Path, digits: list[Path]) -> None:
    found = sizes(run, digits[0], 100_000)
    print(
        f"{slope(found):.2f} bytes an image; {found[0, 1] / 1e6:.1f} MB after 1,000, {found[-1, 1] / 1e6:.1f} MB after 100,000"
    )
    assert slope(found) < 5
