"""What every benchmark here shares: the machine line, processes with time and memory, interleaving, ratio intervals.

Nothing but the standard library is imported: a driver that holds torch would disturb what it measures.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"


# ---- the machine ----


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def machine() -> dict[str, str | int | float]:
    """CPU, cores that this process may use, the flags that decide bf16, memory, load, Python, commit."""
    cpu = _cpuinfo()
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in cpu.get("flags", "").split()]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "family_model": f"{cpu.get('cpu family', '?')}/{cpu.get('model', '?')}",
        "cores": usable,
        "flags": " ".join(flags) or "none of avx2, avx512, amx",
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": commit.stdout.strip() or "no commit",
        "date": time.strftime("%Y-%m-%d"),
    }


def machine_line() -> str:
    m = machine()
    return (
        f"machine: {m['cpu']} (family/model {m['family_model']}), {m['cores']} cores, {m['flags']}, "
        f"{m['memory_gb']} GB, load {m['load']} at the start, {m['system']}, Python {m['python']}, "
        f"commit {m['commit']}, {m['date']}"
    )


# ---- measuring ----


@dataclass(frozen=True)
class Run:
    """One process: wall time, processor time (of all its threads), peak resident memory, and what it printed."""

    ms: float
    cpu_ms: float
    peak_mb: float
    out: str


# Linux counts the parent's pages into a child's peak (`ru_maxrss` survives exec): this driver, of 16 MB, would report
# its own size for anything smaller. A bare interpreter starts the child instead; no Python process is smaller than it.
LAUNCHER = """
import os, sys, time
report, *words = sys.argv[1:]
start = time.perf_counter()
child = os.posix_spawnp(words[0], words, os.environ)
_, status, usage = os.wait4(child, 0)
ms = (time.perf_counter() - start) * 1000
with open(report, "w") as file:
    print(ms, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss, os.waitstatus_to_exitcode(status), file=file)
"""


def process(command: Sequence[str | Path]) -> Run:
    """Run `command` to its end and measure it; a failure stops the benchmark with the end of its stderr."""
    words = [str(word) for word in command]
    with tempfile.NamedTemporaryFile("r") as report:
        launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, report.name, *words]
        done = subprocess.run(launcher, capture_output=True, text=True, errors="replace")
        ms, cpu, peak, code = report.read().split() or ("0", "0", "0", "127")
    if int(code):
        sys.exit(f"{' '.join(words)} ended with {code}:\n{done.stderr[-800:]}")
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # bytes there, KiB on Linux
    return Run(float(ms), float(cpu), float(peak) / unit, done.stdout)


def interleave(cases: Mapping[str, Callable[[], T]], n: int) -> dict[str, list[T]]:
    """Call every case once a round, in an order that turns round each time; one unmeasured round first warms caches."""
    results: dict[str, list[T]] = {name: [] for name in cases}
    names = list(cases)
    for turn in range(-1, n):
        for name in names if turn % 2 == 0 else reversed(names):
            result = cases[name]()
            if turn >= 0:
                results[name].append(result)
    return results


# ---- summing up ----


@dataclass(frozen=True)
class Ratio:
    """How many times `slow` is `fast`: of medians, with the 95 % bootstrap interval over rounds."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f}x [{self.low:.1f}, {self.high:.1f}]"


def ratio(slow: Sequence[float], fast: Sequence[float], draws: int = 4000, seed: int = 0) -> Ratio:
    """Median(slow) / median(fast). Rounds are resampled as pairs, since both of a round met the same machine."""
    rng, n = random.Random(seed), len(slow)
    found: list[float] = []
    for _ in range(draws):
        rounds = [rng.randrange(n) for _ in range(n)]
        found.append(statistics.median(slow[i] for i in rounds) / statistics.median(fast[i] for i in rounds))
    found.sort()
    at = statistics.median(slow) / statistics.median(fast)
    return Ratio(at, found[round(0.025 * (draws - 1))], found[round(0.975 * (draws - 1))])


def spread(values: Sequence[float]) -> str:
    """Median, and the smallest and largest measured."""
    return f"{statistics.median(values):9.1f}  ({min(values):.1f} to {max(values):.1f})"


class Claims:
    """The targets of one script: printed as they are checked; `exit` is 1 when one was missed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def check(self, what: str, value: float, limit: float, unit: str, at_most: bool = True) -> None:
        met = value <= limit if at_most else value >= limit
        self.rows.append({"claim": what, "value": value, "limit": limit, "at_most": at_most, "met": met})
        print(
            f"  {'met   ' if met else 'MISSED'}  {what}: {value:.4g} {unit}, target {'≤' if at_most else '≥'} {limit:g}"
        )

    @property
    def exit(self) -> int:
        return 0 if all(row["met"] for row in self.rows) else 1


def save(path: Path | None, script: str, n: int, figures: object, claims: Claims) -> None:
    """Everything measured as JSON, with the machine: the raw values, so that a claim can be computed again."""
    if path:
        record = {"script": script, "machine": machine(), "n": n, "figures": figures, "claims": claims.rows}
        path.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: {path}")
