"""`plusx bench`: latency, throughput, start and memory of a bundle and of other engines, in interleaved rounds."""

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
from plusx.i18n import Message, _, _n
from plusx.runtime import processor
from plusx.runtime.engine import Engine, ExecutionPlan
from plusx.runtime.engines import AUTO, ENGINES, EngineOptions, installed, open_engine
from plusx.runtime.measuring import (
    Ratio,
    images_per_s,
    interleave,
    latencies_ms,
    matmul_flops,
    measure_process,
    noise,
    percentile,
    ratio,
    require_idle,
)  # fmt: skip
from plusx.runtime.planning import choose_plan
from plusx.runtime.quiet import missing


@dataclass(frozen=True)
class BenchRow:
    """The figures of one engine and precision. `faster`: ratio of throughput to the last row's; None in that row.

    `ceiling`: computing rate as a share of this machine's matrix products in that precision, None where not measured.
    """

    name: str
    plan: ExecutionPlan
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
    source: str | Path, against: Sequence[str] | None = None, options: EngineOptions = AUTO, *,
    rounds: int = 7, seconds: float = 1.0, force: bool = False,
) -> list[BenchRow]:  # fmt: skip
    """One row for the bundle's own plan and one for each of `against`, like "torch:bf16" or "openvino:fp32".

    `against` None is torch:fp32 where torch is installed, else openvino:fp32.
    Raises RunError when the machine is busy (unless `force`), SpecError, BundleError, MissingExtra.
    """
    bundle = open_bundle(source)
    plans = _plans(bundle, options, against or (["torch:fp32"] if installed("torch") else ["openvino:fp32"]))
    names = list(plans)
    if not force:  # last, since a busy machine may mean a long wait, and all other errors are known at once
        require_idle()
    engines = {name: _open(bundle, plan) for name, plan in plans.items()}
    images = noise(
        bundle.preprocessing.crop_px or 224, bundle.preprocessing.channels, max(plan.batch for plan in plans.values())
    )
    found = interleave({name: _rate(engine, images, seconds) for name, engine in engines.items()}, rounds)
    single = {name: _open(bundle, replace(plan, workers=1, batch=1)) for name, plan in plans.items()}
    waits = interleave({name: _wait(engine, images, seconds) for name, engine in single.items()}, rounds)
    macs = _macs(bundle)
    rows = []
    for name, plan in plans.items():
        rate, times = statistics.median(found[name]), [ms for turn in waits[name] for ms in turn]
        flops = matmul_flops(plan) if installed("openvino") else None
        start, peak = _start(bundle, plan)
        rows.append(
            BenchRow(
                name, plan, percentile(times, 0.5), percentile(times, 0.99), rate, rate / plan.threads,
                None if flops is None or macs is None else 2 * macs * rate / flops, start, peak,
                None if name == names[-1] else ratio(found[name], found[names[-1]]), tuple(found[name]),
            )
        )  # fmt: skip
    return rows


def _plans(bundle: Bundle, options: EngineOptions, against: Sequence[str]) -> dict[str, ExecutionPlan]:
    """The plans to compare, by engine and precision. Raises SpecError where two are the same."""
    plans = [_plan(bundle, each) for each in (options, *(_options(text, options.threads) for text in against))]
    names = [f"{plan.engine} {plan.precision}" for plan in plans]
    if len(set(names)) < len(names):
        raise SpecError(
            _(
                "--against {others} compares {name} with itself. Name another engine:precision.",
                others=" ".join(against),
                name=next(name for name in names if names.count(name) > 1),
            )
        )
    return dict(zip(names, plans, strict=True))


def _options(text: str, threads: int | None) -> EngineOptions:
    engine, _colon, precision = text.partition(":")
    return EngineOptions(engine, precision or "fp32", threads=threads)


def _plan(bundle: Bundle, options: EngineOptions) -> ExecutionPlan:
    plan = choose_plan(bundle, options)
    if not installed(plan.engine):
        raise missing(ENGINES[plan.engine].module)
    # plans are compared on the processor, whatever other devices there are
    return replace(plan, device="cpu") if options.device == "auto" else plan


def _open(bundle: Bundle, plan: ExecutionPlan) -> Engine:
    """The engine; without decoding, one worker is enough where a call uses all cores."""
    return open_engine(bundle, replace(plan, workers=1) if ENGINES[plan.engine].own_threads else plan)


def _rate(engine: Engine, images: np.ndarray, seconds: float) -> Callable[[], float]:
    return lambda: images_per_s(engine, images, seconds)


def _wait(engine: Engine, images: np.ndarray, seconds: float) -> Callable[[], list[float]]:
    return lambda: latencies_ms(engine, images, seconds)


def _macs(bundle: Bundle) -> int | None:
    return analyse(lower(bundle.spec), bundle.preprocessing.crop_px or 224).totals.macs


def _start(bundle: Bundle, plan: ExecutionPlan, times: int = 3) -> tuple[float, float]:
    """Seconds and MB of a new process that predicts one image, without the first one, which fills the cache."""
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="plusx-bench-") as scratch:
        image = Path(scratch) / "noise.jpg"
        Image.fromarray(noise(480, 3, 1)[0]).save(image, quality=90)
        words = [sys.executable, "-m", "plusx", "predict", str(bundle.path), str(image), "--engine", plan.engine,
                 "--precision", plan.precision, "--threads", str(plan.threads)]  # fmt: skip
        runs = [measure_process(words) for _ in range(times + 1)][1:]
    return statistics.median(r.seconds for r in runs), max(r.peak_mb for r in runs)


def network_line(source: str | Path) -> Message:
    """The network that is measured, as a spec, and the size of its input."""
    bundle = open_bundle(source)
    spec = bundle.spec
    return _("{network} at {side} px", network=spec, side=bundle.preprocessing.crop_px or 224)


def machine_line() -> Message:
    """The processor, its cores and the instructions that matter here."""
    known = [
        flag
        for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
        if flag in processor.flags()
    ]
    cores = _n("{n} core", "{n} cores", processor.cores())
    return _(
        "{processor}, {cores}, {features}",
        processor=processor.name(), cores=cores, features=" ".join(known) or _("no AVX found"),
    )  # fmt: skip
