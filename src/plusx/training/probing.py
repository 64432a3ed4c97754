"""The probe of a training from weights: the classifier that its network starts with, or all that the recipe asks for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.bundles import Bundle, open_bundle
from plusx.bundles.serialisation import Tensors
from plusx.probing.running import ProbeOutcome, run_probe
from plusx.runtime.engines import EngineOptions

if TYPE_CHECKING:
    from plusx.training.run import TrainingRun


def probe_of(run: TrainingRun, first: Bundle, out: Path) -> ProbeOutcome | None:
    """The probe on the network of `first`, whose bundle is written to `out`; None when the run was stopped."""
    options = EngineOptions(
        precision=run.setup.recipe.precision, threads=run.options.threads, device=run.options.device
    )
    return run_probe(
        first, run.splits, out, seed=run.seed, class_weights=run.setup.recipe.class_weights, options=options,
        stopped=run.options.stop, progress=run.options.on_vectors,
    )  # fmt: skip


def probed_head(run: TrainingRun, first: Bundle) -> Tensors | None:
    """fc.weight (classes, d) and fc.bias (classes,) of the probe; None when the run was stopped."""
    with tempfile.TemporaryDirectory(prefix="plusx-probe-") as scratch:
        outcome = probe_of(run, first, Path(scratch) / "bundle")
        if outcome is None:
            return None
        return {name: array for name, array in open_bundle(outcome.bundle).weights().items() if name.startswith("fc.")}
