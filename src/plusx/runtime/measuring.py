"""How fast an engine is: images a second, milliseconds an image, and the time and memory of a whole process."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from plusx.errors import RunError
from plusx.i18n import _
from plusx.runtime import processor
from plusx.runtime.engine import Engine, ExecutionPlan
from plusx.runtime.quiet import openvino, opset

T = TypeVar("T")
MOST_BUSY = 0.15
"""Share of the cores that other programs may use: with more, they would decide the figures."""
STAT = Path("/proc/stat")


def noise(side: int, channels: int, n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random uint8 images (n, side, side, channels). The time that a network takes does not depend on their content."""
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def images_per_s(engine: Engine, images: NDArray[np.uint8], seconds: float) -> float:
    """Throughput with every worker of the plan busy for `seconds`, or for one batch where that takes longer."""
    plan = engine.plan
    batch = images[: plan.batch]
    stop = time.perf_counter() + seconds
    counts = [0] * plan.workers

    def work(number: int) -> None:
        while not counts[number] or time.perf_counter() < stop:
            engine.infer(batch)
            counts[number] += len(batch)

    begun = time.perf_counter()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(plan.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)


def latencies_ms(engine: Engine, images: NDArray[np.uint8], seconds: float) -> list[float]:
    """Milliseconds of single calls with one image, one after another, for `seconds`; at least ten."""
    times: list[float] = []
    one, stop = images[:1], time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times) < 10:
        begun = time.perf_counter()
        engine.infer(one)
        times.append((time.perf_counter() - begun) * 1000)
    return times


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed.

    >>> percentile([5, 1, 4, 2, 3], 0.5), percentile([1, 2], 0.99)
    (3, 2)
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(np.ceil(share * len(ordered))) - 1))]


def interleave(cases: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """The results of every case, run once a round in alternating order. A first round warms up and is discarded."""
    results: dict[str, list[T]] = {name: [] for name in cases}
    for turn in range(-1, rounds):
        for name in list(cases) if turn % 2 == 0 else reversed(list(cases)):
            result = cases[name]()
            if turn >= 0:
                results[name].append(result)
    return results


@dataclass(frozen=True)
class Ratio:
    """A ratio of medians, with its 95 % bootstrap interval over rounds, since both cases of a round ran side by side."""

    value: float
    low: float
    high: float


def ratio(above: Sequence[float], below: Sequence[float], draws: int = 2000, seed: int = 0) -> Ratio:
    """The Ratio of two cases that were measured in the same rounds."""
    rng, n = random.Random(seed), len(above)
    found: list[float] = []
    for _draw in range(draws):
        rounds = [rng.randrange(n) for _round in range(n)]
        found.append(statistics.median(above[i] for i in rounds) / statistics.median(below[i] for i in rounds))
    found.sort()
    at = statistics.median(above) / statistics.median(below)
    return Ratio(at, found[round(0.025 * (draws - 1))], found[round(0.975 * (draws - 1))])


def busy_cores(seconds: float = 1.0) -> float:
    """Cores that other programs use while this thread sleeps; time that a hypervisor takes away counts as used.

    Linux counts ticks. Elsewhere it is the load of the last minute, which includes what this user did before.
    """
    before = _ticks()
    if before is None:
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    time.sleep(seconds)
    idle, whole = (now - then for now, then in zip(_ticks() or before, before, strict=True))
    return processor.cores() * (1 - idle / whole) if whole > 0 else 0.0


def _ticks() -> tuple[int, int] | None:
    """Idle and all ticks of all processors since the start (proc(5): user nice system idle iowait irq softirq steal)."""
    try:
        fields = [int(word) for word in STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    return fields[3] + fields[4], sum(fields)


def require_idle() -> None:
    """Raise RunError when other programs keep the machine busy."""
    busy, most = busy_cores(), MOST_BUSY * processor.cores()
    if busy > most:
        raise RunError(
            _(
                "Other programs use {busy:.2f} of {cores} cores, and more than {most:.2f} would change the figures. "
                "Wait, or measure anyway with --force.",
                busy=busy,
                cores=processor.cores(),
                most=most,
            )
        )


def matmul_flops(plan: ExecutionPlan, seconds: float = 0.5, n: int = 1024) -> float:
    """Operations a second (a multiply-add is two) of a matrix product in the plan's precision on all its cores."""
    ov = openvino()
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if plan.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": plan.threads,
        "NUM_STREAMS": 1,
    }
    compiled = ov.Core().compile_model(matmul_model(plan.precision, n), "CPU", settings)
    request, data = compiled.create_infer_request(), np.ones((n, n), np.float32)
    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begun = time.perf_counter()
        request.infer([data], share_inputs=True)
        best = min(best, time.perf_counter() - begun)
    return 2 * n**3 / best


def matmul_model(precision: str, n: int) -> Any:
    """The openvino.Model of an (n, n) product with constant weights; int8 as NNCF writes it: both sides quantised."""
    ov, o = openvino(), opset()
    given = x = o.parameter([n, n], np.float32)
    weight = np.random.default_rng(0).uniform(-1, 1, (n, n)).astype(np.float32)
    if precision == "int8":
        x = o.fake_quantize(x, *(np.float32(v) for v in (0, 2.55, 0, 2.55)), 256)
        weight = o.fake_quantize(o.constant(weight), *(np.float32(v) for v in (-1, 1, -1, 1)), 255)
    return ov.Model([o.matmul(x, weight, False, False)], [given], "matmul")


@dataclass(frozen=True)
class ProcessCost:
    """The seconds of a whole process, and its peak resident memory in MB."""

    seconds: float
    peak_mb: float


# Linux counts the parent's pages into a child's peak, so a bare interpreter stands in between
_LAUNCHER = """
import os, sys, time
begun = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - begun, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


def measure_process(words: Sequence[str]) -> ProcessCost:
    """The cost of a command that is run here. Raises RunError when it fails."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", _LAUNCHER, *words], capture_output=True, text=True)
    seconds, peak, code = (done.stdout.split() or ["0", "0", "127"])[:3]
    if int(code):
        raise RunError(
            _(
                "{command} … failed with exit code {code}: {last}",
                command=" ".join(words[:6]),
                code=code,
                last=(done.stderr.strip().splitlines() or [""])[-1],
            )
        )
    return ProcessCost(float(seconds), float(peak) / (1e6 if sys.platform == "darwin" else 1e6 / 1024))
