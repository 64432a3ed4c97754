"""`plusx.evaluate`: a bundle or run, computed by any engine, on labelled images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from plusx import settings
from plusx.bundles import Bundle
from plusx.data import Data
from plusx.evaluation.counting import BATCH, OneProcess, Processes, evaluate_logits
from plusx.evaluation.held_out import open_held_out
from plusx.evaluation.source import open_source
from plusx.metrics import Evaluation
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import EngineOptions, installed, open_engine
from plusx.runtime.planning import choose_plan


def evaluate(
    source: str | Path | Bundle,
    data: str | Path | Data,
    *,
    weights: str = "best",
    options: EngineOptions | None = None,
    workers: int = 0,
    group: Processes | None = None,
) -> Evaluation:
    """The Evaluation of a bundle or run on `data`. On the run's own data torch gives the numbers of training, to the digit.

    `weights`: best (the bundle's), or last or ema of the run's newest checkpoint. A path means what it does for `fit`; of
    the run's own images only the held-out share counts (`open_held_out`). `options`: the engine and how it computes;
    None: as `evaluation_plan` says. Processes of a `group` share the work, and each gets the whole result. Raises
    BundleError, DataError, SpecError, MissingExtra.
    """
    bundle = source if isinstance(source, Bundle) else open_source(source, weights)
    data = data if isinstance(data, Data) else open_held_out(data, bundle)[0]
    engine = open_engine(bundle, evaluation_plan(bundle, options))
    found = evaluate_logits(engine.infer, data, bundle.preprocessing, workers, group=group or OneProcess())
    if found is None:
        raise RuntimeError("an evaluation without a stop request was stopped")
    return found


def evaluation_plan(bundle: Bundle, options: EngineOptions | None = None) -> ExecutionPlan:
    """How an evaluation is computed: one batch at a time on all threads, in fp32 unless another precision is asked for.

    auto is torch where it is installed, because training evaluates with it. `options.threads` None: PLUSX_THREADS, else
    as many as the training had, because sums may round differently with others. Raises SpecError, MissingExtra.
    """
    options = options or EngineOptions()
    recorded = bundle.provenance.threads
    threads = options.threads or settings.threads() or (recorded if isinstance(recorded, int) else None)
    engine = "torch" if options.engine == "auto" and installed("torch") else options.engine
    precision = "fp32" if options.precision == "auto" else options.precision
    plan = choose_plan(bundle, replace(options, engine=engine, precision=precision, threads=threads))
    return replace(plan, batch=BATCH, workers=1, threads=threads or plan.threads)
