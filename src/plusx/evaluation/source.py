"""The network to evaluate: a bundle, or any weights of a run, read and checked once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from plusx.bundles import Bundle, open_weights
from plusx.bundles.bundle import WEIGHTS
from plusx.bundles.serialisation import Tensors


@dataclass(frozen=True)
class LoadedBundle(Bundle):
    """A bundle whose tensors are in memory: engines take them from here, and the file is not opened again."""

    tensors: Tensors

    def weights(self, *, checked: bool = False) -> Tensors:
        """Tensor name → array, as they were when the bundle was opened."""
        return self.tensors


def ignore(line: str) -> None:
    pass


def open_source(
    source: str | Path | Bundle, weights: str = "best", on_damage: Callable[[str], None] = ignore
) -> LoadedBundle:
    """The bundle or run at `source`, or an open bundle, with its best, last or ema weights. Raises BundleError, SpecError as `open_weights`."""
    bundle, tensors = open_weights(source, weights, on_damage)
    values = {item.name: getattr(bundle, item.name) for item in fields(Bundle)}
    if not bundle.files:  # last and ema come from a checkpoint; an engine's cache is keyed by the hash of the weights
        values["files"] = {WEIGHTS: {"sha256": _tensor_hash(tensors)}}
    return LoadedBundle(**values, tensors=tensors)


def _tensor_hash(tensors: Tensors) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(f"{name} {tensors[name].dtype} {tensors[name].shape} ".encode())
        found.update(tensors[name].tobytes())
    return found.hexdigest()
