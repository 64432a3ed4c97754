"""`plusx bench`: latency, throughput, start and memory of a bundle here, beside other engines, interleaved."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from plusx.analysis import analyse
from plusx.bundles import Bundle, open_bundle
from plusx.errors import SpecError
from plusx.graph import lower
from plusx.runtime import processor
from plusx.runtime.engine import Engine, open_engine
from plusx.runtime.measuring import (
    Ratio,
    images_per_s,
    interleave,
    latencies_ms,
    matmul_flops,
    noise,
    percentile,
    process,
    ratio,
    require_idle,
)  # fmt: skip
from plusx.runtime.plan import Plan, choose, installed
from plusx.runtime.quiet import missing


@dataclass(frozen=True)
class Line:
    """What was measured of one way to compute. `faster` is of throughput, against the last way; None for that itself.

    `ceiling` is the share of this machine's matrix products in that precision, None where they were not measured.
    """

    name: str
    plan: Plan
    p50_ms: float
    p99_ms: float
    images_per_s: float
    per_core: float
    ceiling: float | None
    start_s: float
    peak_mb: float
    faster: Ratio | None
    rounds: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def bench(
    source: str | Path, against: Sequence[str] | None = None, *, engine: str = "auto", precision: str = "auto",
    threads: int | None = None, rounds: int = 7, seconds: float = 1.0, busy: bool = False,
) -> list[Line]:  # fmt: skip
    """One line for the bundle's own plan and one for each of `against`, like "torch:bf16" or "openvino:fp32".

    `against` None is torch:fp32 where torch is installed, else openvino:fp32.
    Raises RunError when the machine is busy (unless `busy`), SpecError, BundleError, MissingExtra.
    """
    bundle = open_bundle(source)
    others = against or (["torch:fp32"] if installed("torch") else ["openvino:fp32"])
    plans = [_plan(bundle, engine, precision, threads), *(_plan(bundle, *_words(text), threads) for text in others)]
    names = [f"{plan.engine} {plan.precision}" for plan in plans]
    if len(set(names)) < len(names):
        raise SpecError(f"--against {' '.join(others)}, compares {names[0]} with itself; name another engine:precision")
    if not busy:  # after what can be said at once: a busy machine may have to be waited for
        require_idle()
    engines = {name: _open(bundle, plan) for name, plan in zip(names, plans, strict=True)}
    images = noise(
        bundle.preprocessing.crop_px or 224, bundle.preprocessing.channels, max(plan.batch for plan in plans)
    )
    found = interleave({name: _rate(engine, images, seconds) for name, engine in engines.items()}, rounds)
    single = {name: _open(bundle, replace(plan, workers=1, batch=1)) for name, plan in zip(names, plans, strict=True)}
    waits = interleave({name: _wait(engine, images, seconds) for name, engine in single.items()}, rounds)
    macs = _macs(bundle)
    lines = []
    for name, plan in zip(names, plans, strict=True):
        rate, times = statistics.median(found[name]), [ms for turn in waits[name] for ms in turn]
        flops = matmul_flops(plan) if installed("openvino") else None
        start, peak = _start(bundle, plan)
        lines.append(
            Line(
                name, plan, percentile(times, 0.5), percentile(times, 0.99), rate, rate / plan.threads,
                None if flops is None or macs is None else 2 * macs * rate / flops, start, peak,
                None if name == names[-1] else ratio(found[name], found[names[-1]]), tuple(found[name]),
            )
        )  # fmt: skip
    return lines


def _words(text: str) -> tuple[str, str]:
    engine, _, precision = text.partition(":")
    return engine, precision or "fp32"


def _plan(bundle: Bundle, engine: str, precision: str, threads: int | None) -> Plan:
    plan = choose(bundle, engine, precision, threads=threads)
    if plan.engine != "torch":
        return plan
    if not installed("torch"):
        raise missing("torch", "train")
    from plusx.deploy.with_torch import torch_plan

    return torch_plan(bundle, precision, threads)


def _open(bundle: Bundle, plan: Plan) -> Engine:
    if plan.engine != "torch":
        return open_engine(bundle, plan)
    import torch

    from plusx.deploy.with_torch import TorchEngine

    torch.set_num_threads(plan.threads)
    return TorchEngine(bundle, replace(plan, workers=1), torch.device("cpu"))


def _rate(engine: Engine, images: np.ndarray, seconds: float) -> Callable[[], float]:
    return lambda: images_per_s(engine, images, seconds)


def _wait(engine: Engine, images: np.ndarray, seconds: float) -> Callable[[], list[float]]:
    return lambda: latencies_ms(engine, images, seconds)


def _macs(bundle: Bundle) -> int | None:
    return analyse(lower(bundle.spec), bundle.preprocessing.crop_px or 224).totals.macs


def _start(bundle: Bundle, plan: Plan, times: int = 3) -> tuple[float, float]:
    """Seconds and MB of a new process that names one image; the first, which fills the cache, does not count."""
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="plusx-bench-") as scratch:
        image = Path(scratch) / "noise.jpg"
        Image.fromarray(noise(480, 3, 1)[0]).save(image, quality=90)
        words = [sys.executable, "-m", "plusx", "predict", str(bundle.path), str(image), "--engine", plan.engine,
                 "--precision", plan.precision, "--threads", str(plan.threads)]  # fmt: skip
        runs = [process(words) for _ in range(times + 1)][1:]
    return statistics.median(r.seconds for r in runs), max(r.peak_mb for r in runs)


def network_line(source: str | Path) -> str:
    """What is measured: the network in plusx's words and the size of its input."""
    bundle = open_bundle(source)
    return f"{bundle.spec} at {bundle.preprocessing.crop_px or 224} px"


def machine_line() -> str:
    known = [
        flag
        for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
        if flag in processor.flags()
    ]
    return f"{processor.name()}, {processor.cores()} cores, {' '.join(known) or 'no AVX known'}"
