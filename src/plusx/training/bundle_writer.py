"""The bundle of a run: its best or last weights, written while training continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Provenance, save_bundle
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec

MOST_CLASSES_WITH_CONFUSION = 100
"""Above, the confusion matrix would be a million numbers that `plusx evaluate` can compute again."""


@dataclass(frozen=True)
class BundleWriter:
    """Writes a network's tensors to `path` with all that prediction needs. `provenance` lacks only the step."""

    path: Path
    spec: ResNetSpec
    classes: Sequence[str]
    preprocessing: Preprocessing
    provenance: Provenance

    def write(self, tensors: Mapping[str, NDArray[np.generic]], metrics: Mapping[str, Any], step: int) -> None:
        """Replaces the bundle. Raises BundleError, RunError."""
        if len(self.classes) > MOST_CLASSES_WITH_CONFUSION:
            metrics = {key: value for key, value in metrics.items() if key != "confusion"}
        save_bundle(
            self.path, self.spec, self.classes, self.preprocessing, tensors, metrics, replace(self.provenance, step=step),
        )  # fmt: skip
