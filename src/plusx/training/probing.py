"""The probe of a training from weights: the classifier that its network starts with, or all that the recipe asks for."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from plusx.bundles import Bundle, DataRecord, open_bundle
from plusx.bundles.serialisation import Tensors
from plusx.data import Splits
from plusx.i18n import Message
from plusx.probing.running import Probing
from plusx.runtime.engines import EngineOptions
from plusx.training.options import RunOptions
from plusx.training.recipe import Recipe

log = logging.getLogger("plusx")


def probing_of(
    first: Bundle, splits: Splits, recipe: Recipe, seed: int, options: RunOptions, data: DataRecord | None = None
) -> Probing:
    """How a training probes the network of `first`; `data` is what the bundle says of the images.

    Vectors are bf16 where the engine computes them natively, unless the recipe says fp32.
    """
    precision = "fp32" if recipe.precision == "fp32" else "auto"
    engine = EngineOptions(precision=precision, threads=options.threads, device=options.device)
    return Probing(first, splits, seed, recipe.class_weights, engine, data, options.stop, options.on_vectors, _log)


def probed_head(first: Bundle, splits: Splits, recipe: Recipe, seed: int, options: RunOptions) -> Tensors | None:
    """fc.weight (classes, d) and fc.bias (classes,) of the probe; None when the run was stopped."""
    probing = probing_of(first, splits, recipe, seed, options)
    with tempfile.TemporaryDirectory(prefix="plusx-probe-") as scratch:
        plain = probing.plain(Path(scratch) / "plain")
        outcome = None if plain is None else probing.with_views(plain, Path(scratch) / "views")
        if outcome is None:
            return None
        return {name: array for name, array in open_bundle(outcome.bundle).weights().items() if name.startswith("fc.")}


def _log(line: Message) -> None:
    log.info("%s", line)
