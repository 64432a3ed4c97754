"""`plusx tune`: the engine, precision, workers and batch that are fastest on this processor, by measurement."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plusx.bundles import Bundle, open_bundle
from plusx.bundles.engines import put_file
from plusx.errors import MissingExtra
from plusx.i18n import Message, _
from plusx.runtime import processor
from plusx.runtime.engine import Engine, ExecutionPlan
from plusx.runtime.engines import ENGINES, PRECISIONS, EngineOptions, installed, open_engine
from plusx.runtime.exports import is_proven
from plusx.runtime.measuring import images_per_s, interleave, latencies_ms, noise
from plusx.runtime.planning import TUNED, usual_batch

FINALISTS = 3
ROUNDS = 5


@dataclass(frozen=True)
class TuningResult:
    """The fastest plan and every candidate's figure: images/s for throughput, milliseconds for latency."""

    plan: ExecutionPlan
    objective: str
    figure: float
    tried: tuple[tuple[ExecutionPlan, float], ...]

    @property
    def unit(self) -> str:
        return unit(self.objective)


def tune(
    source: str | Path,
    objective: str = "throughput",
    *,
    seconds: float = 0.4,
    threads: int | None = None,
    log: Callable[[Message], None] = lambda line: None,
) -> TuningResult:
    """The fastest plan, which is also stored in the bundle for this processor.

    Raises SpecError, MissingExtra, BundleError.
    """
    options = EngineOptions(objective=objective, threads=threads)
    bundle, cores = open_bundle(source), processor.threads(options.threads)
    tried = []
    for plan in candidates(bundle, objective, cores):
        figure = measure_plan(open_engine(bundle, plan), bundle, objective, seconds)
        log(_("{plan}: {figure} {unit}", plan=plan.text(), figure=figure_text(figure), unit=unit(objective)))
        tried.append((plan, figure))
    if not tried:
        raise MissingExtra(_("No engine is installed. Install OpenVINO with pip install 'plusx[cpu]'."))
    tried.sort(key=lambda pair: pair[1], reverse=objective == "throughput")
    best, figure = pick_winner(bundle, [plan for plan, _figure in tried[:FINALISTS]], objective, seconds)
    result = TuningResult(best, objective, figure, tuple(tried))
    store(bundle, result)
    return result


def unit(objective: str) -> str:
    return "images/s" if objective == "throughput" else "ms"


def figure_text(figure: float) -> str:
    """Three digits at least, and never an exponent.

    >>> figure_text(55140.2), figure_text(3.456)
    ('55,140', '3.46')
    """
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def candidates(bundle: Bundle, objective: str, cores: int) -> Iterator[ExecutionPlan]:
    """The plans to measure: fp32 from the weights, and what an export has proven. torch only where it is alone."""
    others = any(installed(name) for name in ENGINES if name != "torch")
    for name, kind in ENGINES.items():
        if not installed(name) or (name == "torch" and others):
            continue
        for precision in (p for p in PRECISIONS if p in kind.precisions):
            if not (is_proven(bundle, name, precision) or (kind.from_weights and precision == "fp32")):
                continue
            if objective == "latency":
                for threads in sorted({1, max(1, cores // 2), cores}):
                    yield ExecutionPlan(name, precision, 1, 1, threads)
            else:
                workers = min(2, cores) if kind.own_threads else cores
                for batch in _batches(bundle):
                    yield ExecutionPlan(name, precision, batch, workers, cores)


def _batches(bundle: Bundle) -> list[int]:
    return [1] if bundle.preprocessing.crop_px is None else sorted({1, 2, 4, 16, usual_batch(bundle)})


def measure_plan(engine: Engine, bundle: Bundle, objective: str, seconds: float) -> float:
    """Images a second, or the median milliseconds of one image."""
    images = noise(bundle.preprocessing.crop_px or 224, bundle.preprocessing.channels, engine.plan.batch)
    if objective == "latency":
        latencies_ms(engine, images, 0)
        return statistics.median(latencies_ms(engine, images, seconds))
    images_per_s(engine, images, seconds / 4)
    return images_per_s(engine, images, seconds)


def pick_winner(
    bundle: Bundle, plans: list[ExecutionPlan], objective: str, seconds: float
) -> tuple[ExecutionPlan, float]:
    """The fastest of the finalists by the median of interleaved rounds, so that a busy moment affects all alike."""
    cases: dict[str, Callable[[], float]] = {}
    for plan in plans:
        engine = open_engine(bundle, plan)
        cases[str(len(cases))] = lambda engine=engine: measure_plan(engine, bundle, objective, seconds)
    medians = [statistics.median(values) for values in interleave(cases, ROUNDS).values()]
    best = (max if objective == "throughput" else min)(range(len(plans)), key=medians.__getitem__)
    return plans[best], medians[best]


def store(bundle: Bundle, result: TuningResult) -> None:
    """Write the result beside those of other processors and of the other objective."""
    found = _stored(bundle) if TUNED in bundle.files else {}
    row = {
        "plan": result.plan.to_dict(), "figure": result.figure, "unit": result.unit, "processor": processor.name(),
        "measured": time.strftime("%Y-%m-%d"), "plusx": version("plusx"), "weights_sha256": bundle.weights_sha256,
        "tried": [{"plan": plan.to_dict(), "figure": figure} for plan, figure in result.tried],
    }  # fmt: skip
    mine = found.get(processor.key())
    found[processor.key()] = {**(mine if isinstance(mine, dict) else {}), result.objective: row}
    put_file(bundle, TUNED, (json.dumps(found, indent=1) + "\n").encode())


def _stored(bundle: Bundle) -> dict[str, Any]:
    """The content of the file; nothing where it is damaged, since tuning is the way to write it again."""
    try:
        found = bundle.read_json(TUNED)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
