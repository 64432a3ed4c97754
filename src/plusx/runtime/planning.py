"""The choice of the engine and its plan: by the options, by measurements of this processor, or by rules."""

from __future__ import annotations

from dataclasses import replace

from plusx.bundles import Bundle
from plusx.errors import BundleError, MissingExtra
from plusx.graph import lower
from plusx.i18n import _
from plusx.runtime import processor
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import AUTO, ENGINES, EngineOptions, installed
from plusx.runtime.exports import is_proven

TUNED = "engines/tuned.json"
_WORTH_A_CALL = 50_000_000  # multiply-adds for which the overhead of a call no longer matters


def choose_plan(bundle: Bundle, options: EngineOptions = AUTO, *, cut: bool = False) -> ExecutionPlan:
    """The plan for a bundle on this machine.

    auto: what `plusx tune` measured on this processor; else OpenVINO, at the fastest precision that an export has
    proven for this bundle (int8, bf16), else fp32; torch where it is the only engine. `cut`: for a part of the network,
    which no export holds, so int8 is not taken. Raises SpecError, MissingExtra, BundleError.
    """
    cores = processor.threads(options.threads)
    engine = "torch" if options.device != "auto" else options.engine
    tuned = tuned_plans(bundle).get(options.objective)
    if tuned and _fits(tuned, engine, options, cut):
        plan = tuned if tuned.threads <= cores else replace(tuned, threads=cores, workers=min(tuned.workers, cores))
    else:
        plan = _usual_plan(bundle, engine, options, cores, cut)
    # OpenVINO reads int8 from a whole network's export; what is cut is lowered from the weights
    return replace(plan, precision="fp32") if cut and plan.precision == "int8" else plan


def _fits(tuned: ExecutionPlan, engine: str, options: EngineOptions, cut: bool) -> bool:
    """Whether the measured plan meets the options and can run here."""
    return (
        engine in ("auto", tuned.engine)
        and options.precision in ("auto", tuned.precision)
        and options.device in ("auto", tuned.device)
        and tuned.engine in ENGINES
        and installed(tuned.engine)
        and (not cut or ENGINES[tuned.engine].from_weights)
    )


def _usual_plan(bundle: Bundle, engine: str, options: EngineOptions, cores: int, cut: bool) -> ExecutionPlan:
    engine = first_installed(bundle, cut) if engine == "auto" else engine
    kind = ENGINES[engine]
    precision = best_proven(bundle, engine) if options.precision == "auto" else options.precision
    device = options.device if engine == "torch" else "cpu"
    if options.objective == "latency":
        return ExecutionPlan(engine, precision, 1, 1, cores, device)
    batch = usual_batch(bundle, precision)
    if bundle.preprocessing.crop_px is not None:
        batch = max(kind.least_batch, batch)
    return ExecutionPlan(engine, precision, batch, min(2, cores) if kind.own_threads else cores, cores, device)


def first_installed(bundle: Bundle, cut: bool = False) -> str:
    """The engine for --engine auto. Raises MissingExtra."""
    for name, kind in ENGINES.items():
        usable = kind.from_weights or (not cut and any(is_proven(bundle, name, p) for p in kind.precisions))
        if usable and installed(name):
            return name
    raise MissingExtra(
        _(
            "No engine is installed that can compute {path}. Install OpenVINO with pip install 'plusx[cpu]'.",
            path=bundle.path,
        )
    )


def best_proven(bundle: Bundle, engine: str) -> str:
    """int8 or bf16 where an export has proven it and the processor gains by it, else fp32."""
    if is_proven(bundle, engine, "int8"):
        return "int8"
    if engine == "openvino" and is_proven(bundle, engine, "bf16") and processor.multiplies_bf16():
        return "bf16"
    return "fp32"


def usual_batch(bundle: Bundle, precision: str = "fp32") -> int:
    """Images a call: 1 for large networks, more where the overhead of a call would be as large as the computation.

    In int8 at least 2, because the products are so fast that loading the weights takes a visible share. ResNet-50 on two Zen 4 cores, images/s at 1, 2, 4 and
    6 a call: int8 89, 93, 90, 88; bf16 52, 50, 48, 46; fp32 the same.
    """
    from plusx.analysis import analyse

    pre = bundle.preprocessing
    if pre.crop_px is None:
        return 1
    macs = analyse(lower(bundle.spec), pre.crop_px).totals.macs
    return max(2 if precision == "int8" else 1, min(64, _WORTH_A_CALL // max(1, macs or 1)))


def tuned_plans(bundle: Bundle, key: str | None = None) -> dict[str, ExecutionPlan]:
    """Purpose → plan that was measured on this processor (or the one of `key`). Raises BundleError for damage."""
    if TUNED not in bundle.files:
        return {}
    try:
        found = bundle.read_json(TUNED).get(key or processor.key(), {})
        own = {name: row["plan"] for name, row in found.items() if row["weights_sha256"] == bundle.weights_sha256}
        plans = {name: ExecutionPlan(**plan) for name, plan in own.items()}
        if not all(isinstance(word, str) for p in plans.values() for word in (p.engine, p.precision, p.device)):
            raise TypeError("engine")
        return plans
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(
            _(
                "{file} is damaged. Write it again with plusx tune {path}.",
                file=bundle.path / TUNED,
                path=bundle.path,
            )
        ) from error
