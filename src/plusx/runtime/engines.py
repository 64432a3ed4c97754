"""The table of engines: what each can compute, and the factory that makes it, imported when it is used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from plusx.bundles import Bundle
from plusx.errors import RunError, SpecError, unknown
from plusx.graph import Graph
from plusx.i18n import _
from plusx.runtime.engine import Engine, ExecutionPlan
from plusx.runtime.quiet import missing

PRECISIONS = ("fp32", "bf16", "int8")
OBJECTIVES = ("throughput", "latency")


@dataclass(frozen=True)
class EngineKind:
    """One engine. `factory` is "module:callable", called with (bundle, plan, graph); `module` is what must be installed.

    `from_weights`: computes from a bundle's weights, and so cut networks too; the others need an export.
    `own_threads`: spreads one call over all cores itself, so two workers suffice: one decodes while the other computes.
    """

    factory: str
    module: str
    precisions: tuple[str, ...]
    from_weights: bool
    own_threads: bool = False
    least_batch: int = 1


ENGINES: dict[str, EngineKind] = {
    "openvino": EngineKind("plusx.runtime.with_openvino:OpenVINOEngine", "openvino", ("fp32", "bf16", "int8"), True),
    # ONNX Runtime has no bf16 convolutions on CPUs
    "onnxruntime": EngineKind(
        "plusx.runtime.with_onnxruntime:ONNXRuntimeEngine", "onnxruntime", ("fp32", "int8"), False
    ),
    # torch has no int8 networks of its own since torch.ao.quantization went
    "torch": EngineKind(
        "plusx.nn.engine:TorchEngine", "torch", ("fp32", "bf16"), True, own_threads=True, least_batch=16
    ),
}
"""In the order of choice for --engine auto. torch's module belongs to a higher room and is reached by its name alone, so
that predicting with another engine imports no torch."""


@dataclass(frozen=True)
class EngineOptions:
    """The options of a caller; auto leaves a choice to `planning.choose_plan`. Raises SpecError for unknown words.

    `objective` is throughput or latency. `threads` None: PLUSX_THREADS, else one a core. A `device` other than auto
    is torch's: cpu, cuda or mps.
    """

    engine: str = "auto"
    precision: str = "auto"
    objective: str = "throughput"
    threads: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        for what, word, allowed in (
            (_("engine"), self.engine, ("auto", *ENGINES)),
            (_("precision"), self.precision, ("auto", *PRECISIONS)),
            (_("objective"), self.objective, OBJECTIVES),
        ):
            if word not in allowed:
                raise SpecError(unknown(what, word, allowed))
        if self.device != "auto" and self.engine not in ("auto", "torch"):
            raise SpecError(
                _(
                    "--device {device} needs torch, but --engine {engine} was asked for. Leave one of them out.",
                    device=self.device, engine=self.engine,
                )
            )  # fmt: skip


AUTO = EngineOptions()


def installed(engine: str) -> bool:
    """Whether the engine's module can be found; nothing is imported."""
    try:
        return find_spec(ENGINES[engine].module) is not None
    except (ImportError, ValueError):  # a finder that hides it, or None in sys.modules
        return False


_process: int | None = None
"""The process that opened an engine: the threads of an engine's library are not in its forked children, which wait for them."""


def require_process(process: int | None) -> None:
    """Raises RunError where `process`, which opened an engine, is another than this one."""
    if process not in (None, os.getpid()):
        raise RunError(
            _(
                "This process was forked after its parent had opened a network, whose threads are not here, so it would wait for "
                "ever. Open the network in the children alone, or start them with multiprocessing's method spawn."
            )
        )


def open_engine(bundle: Bundle, plan: ExecutionPlan, graph: Graph | None = None) -> Engine:
    """The engine of a plan, its network compiled. `graph` is another network for the bundle's weights, as a cut one.

    Raises MissingExtra, BundleError, SpecError, and RunError in a process that was forked after it had opened one.
    """
    global _process
    require_process(_process)
    kind = ENGINES[plan.engine]
    if plan.precision not in kind.precisions:
        raise SpecError(
            _(
                "--engine {engine} does not compute in {precision}. Allowed there: {allowed}.",
                engine=plan.engine, precision=plan.precision, allowed=", ".join(kind.precisions),
            )
        )  # fmt: skip
    if not installed(plan.engine):
        raise missing(kind.module)
    _process = os.getpid()
    module, _colon, name = kind.factory.partition(":")
    return getattr(import_module(module), name)(bundle, plan, graph)
