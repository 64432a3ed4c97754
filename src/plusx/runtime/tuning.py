"""`plusx tune`: which engine, precision, workers and batch are fastest on this processor, measured."""

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
from plusx.errors import MissingExtra, SpecError, unknown
from plusx.runtime import processor
from plusx.runtime.engine import Engine, open_engine
from plusx.runtime.measuring import images_per_s, interleave, latencies_ms, noise
from plusx.runtime.plan import PURPOSES, TUNED, Plan, installed, plan_fields, proven, usual_batch

FINALISTS = 3
ROUNDS = 5


@dataclass(frozen=True)
class Tuned:
    """The fastest plan and every candidate's figure: images/s for throughput, milliseconds for latency."""

    plan: Plan
    purpose: str
    figure: float
    tried: tuple[tuple[Plan, float], ...]

    @property
    def unit(self) -> str:
        return "images/s" if self.purpose == "throughput" else "ms"


def tune(
    source: str | Path,
    purpose: str = "throughput",
    *,
    seconds: float = 0.4,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Tuned:
    """Measure, and store the winner in the bundle for this processor. Raises SpecError, MissingExtra, BundleError."""
    if purpose not in PURPOSES:
        raise SpecError(unknown("purpose", purpose, PURPOSES))
    bundle = open_bundle(source)
    cores = processor.threads(threads)
    tried = []
    for plan in candidates(bundle, purpose, cores):
        figure = measured(open_engine(bundle, plan), bundle, purpose, seconds)
        say(f"{plan}: {figure_text(figure)} {'images/s' if purpose == 'throughput' else 'ms'}")
        tried.append((plan, figure))
    if not tried:
        raise MissingExtra("no engine to measure is installed; pip install 'plusx[cpu]' brings OpenVINO")
    tried.sort(key=lambda pair: pair[1], reverse=purpose == "throughput")
    best, figure = final(bundle, [plan for plan, _ in tried[:FINALISTS]], purpose, seconds)
    tuned = Tuned(best, purpose, figure, tuple(tried))
    store(bundle, tuned)
    return tuned


def figure_text(figure: float) -> str:
    """Three digits at least, and never an exponent.

    >>> figure_text(55140.2), figure_text(3.456)
    ('55,140', '3.46')
    """
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def candidates(bundle: Bundle, purpose: str, cores: int) -> Iterator[Plan]:
    """What may be used at all: fp32, and what an export has proven."""
    usual = usual_batch(bundle)
    batches = [1] if purpose == "latency" or bundle.preprocessing.crop_px is None else sorted({1, 2, 4, 16, usual})
    for engine in ("openvino", "onnxruntime"):
        if not installed(engine):
            continue
        for precision in ("fp32", "bf16", "int8"):
            if not (proven(bundle, engine, precision) or (engine, precision) == ("openvino", "fp32")):
                continue
            if purpose == "latency":
                yield from (Plan(engine, precision, 1, 1, n) for n in sorted({1, max(1, cores // 2), cores}))
            else:
                yield from (Plan(engine, precision, batch, cores, cores) for batch in batches)


def measured(engine: Engine, bundle: Bundle, purpose: str, seconds: float) -> float:
    images = noise(bundle.preprocessing.crop_px or 224, bundle.preprocessing.channels, engine.plan.batch)
    if purpose == "latency":
        latencies_ms(engine, images, 0)
        return statistics.median(latencies_ms(engine, images, seconds))
    images_per_s(engine, images, seconds / 4)
    return images_per_s(engine, images, seconds)


def final(bundle: Bundle, plans: list[Plan], purpose: str, seconds: float) -> tuple[Plan, float]:
    """The fastest of the finalists by the median of interleaved rounds, so that a busy moment hits all alike."""
    cases: dict[str, Callable[[], float]] = {}
    for plan in plans:
        engine = open_engine(bundle, plan)
        cases[str(len(cases))] = lambda engine=engine: measured(engine, bundle, purpose, seconds)
    medians = [statistics.median(values) for values in interleave(cases, ROUNDS).values()]
    best = (max if purpose == "throughput" else min)(range(len(plans)), key=medians.__getitem__)
    return plans[best], medians[best]


def store(bundle: Bundle, tuned: Tuned) -> None:
    """Beside what other processors, and the other purpose, have found."""
    path = bundle.path / TUNED
    found = _kept(path) if TUNED in bundle.files else {}
    row = {
        "plan": plan_fields(tuned.plan), "figure": tuned.figure, "unit": tuned.unit, "processor": processor.name(),
        "measured": time.strftime("%Y-%m-%d"), "plusx": version("plusx"),
        "tried": [{"plan": plan_fields(plan), "figure": figure} for plan, figure in tuned.tried],
    }  # fmt: skip
    mine = found.get(processor.key())
    found[processor.key()] = {**(mine if isinstance(mine, dict) else {}), tuned.purpose: row}
    put_file(bundle.path, TUNED, (json.dumps(found, indent=1) + "\n").encode())


def _kept(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is damaged, since tuning is the way to write it anew."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
