"""A shard of 100,000 images takes no more memory at its end than at its beginning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from waiting import HANG

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = [pytest.mark.usefixtures("own_cache"), pytest.mark.slow]
ROWS = 100_000
CODE = """
import sys
import plusx.cluster.shard as shard
from plusx.cli.main import main
real = shard.write_part
def measured(*words, **named):
    made = real(*words, **named)
    with open("/proc/self/statm") as file:
        print(int(file.read().split()[1]) * 4096 >> 20, flush=True)
    return made
shard.write_part = measured
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    listed = "".join(f"{jpegs[i % len(jpegs)]}\n" for i in range(ROWS))
    words = ["predict", str(photos), "-", "-o", str(tmp_path / "parts"), "--shard", "1/1", "--engine", "openvino"]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], input=listed, capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    seen = [int(line) for line in done.stdout.split()]
    assert len(seen) == 10 and max(seen[1:]) <= 1.1 * seen[0] + 5, f"resident MB after each part: {seen}"
