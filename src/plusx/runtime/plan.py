"""What will compute, and how: chosen by words, by what was measured on this processor, or by what is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

from plusx.bundles import Bundle
from plusx.errors import BundleError, MissingExtra, SpecError, unknown
from plusx.graph import lower
from plusx.runtime import processor

ENGINES = ("openvino", "onnxruntime", "torch")
PRECISIONS = ("fp32", "bf16", "int8")
PURPOSES = ("throughput", "latency")
TUNED = "engines/tuned.json"
_WORTH_A_CALL = 50_000_000  # multiply-adds after which what a call to an engine costs besides no longer matters
_MODULES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch"}


@dataclass(frozen=True)
class Plan:
    """`workers` threads, each decoding an image and then having it computed; `threads` cores in all, `batch` a call."""

    engine: str
    precision: str
    batch: int
    workers: int
    threads: int

    def __str__(self) -> str:
        many = "s" if self.workers > 1 else ""
        return f"{self.engine} {self.precision}, {self.workers} worker{many} of {self.threads // self.workers or 1}, batch {self.batch}"


def choose(
    bundle: Bundle,
    engine: str = "auto",
    precision: str = "auto",
    *,
    purpose: str = "throughput",
    threads: int | None = None,
) -> Plan:
    """The plan for a bundle here.

    auto: what `plusx tune` measured on this processor; else OpenVINO, at the fastest precision that an export has
    proven for this bundle (int8, bf16), else fp32. Raises SpecError, MissingExtra, BundleError.
    """
    _check(engine, ("auto", *ENGINES), "engine")
    _check(precision, ("auto", *PRECISIONS), "precision")
    _check(purpose, PURPOSES, "purpose")
    cores = processor.threads(threads)
    tuned = tuned_plans(bundle).get(purpose)
    if (
        tuned
        and engine in ("auto", tuned.engine)
        and precision in ("auto", tuned.precision)
        and installed(tuned.engine)
    ):
        return tuned if tuned.threads <= cores else replace(tuned, threads=cores, workers=min(tuned.workers, cores))
    engine = first_installed(bundle) if engine == "auto" else engine
    if precision == "auto":
        precision = best_proven(bundle, engine)
    if purpose == "latency":
        return Plan(engine, precision, 1, 1, cores)
    return Plan(engine, precision, usual_batch(bundle, precision), cores, cores)


def first_installed(bundle: Bundle) -> str:
    """The engine to take when nobody says which. Raises MissingExtra."""
    for name in ENGINES:
        if installed(name) and (name != "onnxruntime" or any(proven(bundle, name, p) for p in PRECISIONS)):
            return name
    raise MissingExtra("no engine is installed; pip install 'plusx[cpu]' brings OpenVINO")


def installed(engine: str) -> bool:
    return find_spec(_MODULES[engine]) is not None


def engine_folder(engine: str, precision: str) -> str:
    """Where an export lies in a bundle, relative to it.

    >>> engine_folder("onnxruntime", "int8")
    'engines/onnx-int8'
    """
    return f"engines/{'onnx' if engine == 'onnxruntime' else engine}-{precision}"


def proven(bundle: Bundle, engine: str, precision: str) -> bool:
    """Whether an export of this kind, which ends with a proof, lies in the bundle."""
    return f"{engine_folder(engine, precision)}/engine.json" in bundle.files


def best_proven(bundle: Bundle, engine: str) -> str:
    """int8 or bf16 where an export has proven it and the processor gains by it, else fp32."""
    if proven(bundle, engine, "int8"):
        return "int8"
    if engine == "openvino" and proven(bundle, engine, "bf16") and processor.multiplies_bf16():
        return "bf16"
    return "fp32"


def usual_batch(bundle: Bundle, precision: str = "fp32") -> int:
    """Images a call: 1 for real networks, more where a call would cost as much as the network.

    In int8 at least 2: products are so quick that fetching weights shows. ResNet-50 on two Zen 4 cores, images/s at 1, 2, 4 and
    6 a call: int8 89, 93, 90, 88; bf16 52, 50, 48, 46; fp32 the same.
    """
    from plusx.analysis import analyse

    pre = bundle.preprocessing
    if pre.crop_px is None:
        return 1
    macs = analyse(lower(bundle.spec), pre.crop_px).totals.macs
    return max(2 if precision == "int8" else 1, min(64, _WORTH_A_CALL // max(1, macs or 1)))


def tuned_plans(bundle: Bundle, key: str | None = None) -> dict[str, Plan]:
    """Purpose → plan that was measured on this processor (or the one of `key`). Raises BundleError for damage."""
    if TUNED not in bundle.files:
        return {}
    try:
        found = json.loads((bundle.path / TUNED).read_bytes())
        return {name: Plan(**row["plan"]) for name, row in found.get(key or processor.key(), {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{bundle.path / TUNED} is damaged. Write it anew with plusx tune {bundle.path}.") from error


def plan_fields(plan: Plan) -> Mapping[str, Any]:
    return asdict(plan)


def _check(word: str, allowed: tuple[str, ...], what: Literal["engine", "precision", "purpose"]) -> None:
    if word not in allowed:
        raise SpecError(unknown(what, word, allowed))
