"""A trained network on disk: bundle.json and weights.safetensors. Needs no torch and no code from the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.bundles.durable import Json, check_files, read_manifest, standing, write_dir
from plusx.bundles.records import Provenance
from plusx.bundles.tensors import Tensors, bytes_to_tensors, tensors_to_bytes
from plusx.errors import BundleError, PlusxError
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec

SCHEMA = "plusx.bundle/1"
MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its files were there, whole and as written when it was opened.

    `metrics` is what evaluation said, `provenance` where the weights come from.
    """

    path: Path
    spec: ResNetSpec
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    metrics: Json
    provenance: Provenance
    files: Json

    def weights(self) -> Tensors:
        """Tensor name → array, torchvision's names. Raises BundleError when the file has vanished or changed since."""
        path = self.path / WEIGHTS
        check_files(self.path, {WEIGHTS: self.files[WEIGHTS]})
        return bytes_to_tensors(path.read_bytes(), str(path))


def save_bundle(
    path: str | Path,
    spec: ResNetSpec,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    weights: Mapping[str, NDArray[np.generic]],
    metrics: Mapping[str, Any] | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Write a bundle and return its path. One that stands there is replaced, and keeps standing until the new does.

    Raises BundleError when `path` holds something else, RunError when the disk is full or refuses.
    """
    path = Path(path)
    if path.exists() and not is_bundle(path) and (not path.is_dir() or any(path.iterdir())):
        raise BundleError(f"{path} exists and is no bundle; choose another place")
    manifest = {
        "schema": SCHEMA,
        "spec": spec.to_dict(),
        "classes": list(classes),
        "preprocessing": preprocessing.to_dict(),
        "metrics": dict(metrics or {}),
        "provenance": (provenance or Provenance()).to_dict(),
    }
    write_dir(path, MANIFEST, manifest, {WEIGHTS: tensors_to_bytes(weights)})
    return path


def open_bundle(path: str | Path | Bundle) -> Bundle:
    """Open the bundle at `path`, or the best one of the run at `path`; sizes and hashes of all its files are checked.

    An opened bundle is returned as it is.

    Raises BundleError that says what is missing, damaged, or newer than this plusx.
    """
    if isinstance(path, Bundle):
        return path
    asked = Path(path)
    run_bundle = asked / "bundle"
    path = run_bundle if (asked / "run.json").is_file() and not is_bundle(asked) else asked
    path = standing(path)
    if not path.is_dir():
        if path is not asked and path.parent == asked:
            raise BundleError(f"the run {asked} has no bundle yet; train it further with --resume {asked}")
        raise BundleError(f"no bundle at {asked}; a bundle is a directory with {MANIFEST}")
    found = read_manifest(path, MANIFEST, SCHEMA)
    check_files(path, found["files"])
    try:
        if WEIGHTS not in found["files"]:
            raise KeyError(WEIGHTS)
        return Bundle(
            path=path,
            spec=ResNetSpec.from_dict(found["spec"]),
            classes=tuple(str(word) for word in found["classes"]),
            preprocessing=Preprocessing.from_dict(found["preprocessing"]),
            metrics=dict(found["metrics"]),
            provenance=Provenance.from_dict(found["provenance"]),
            files=found["files"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, PlusxError) as error:
        raise BundleError(f"{path / MANIFEST} {wrong_fields(error)}. Use another copy.") from error


def wrong_fields(error: Exception) -> str:
    """What is wrong with the fields of a manifest whose reading ended with `error`, in own words."""
    if isinstance(error, KeyError):
        return f"lacks {error}"
    if isinstance(error, PlusxError):
        return f"cannot be used: {error}"
    return "holds fields of another kind than plusx writes"


def is_bundle(path: str | Path) -> bool:
    """Whether a directory at `path` says that it is a bundle (nothing is verified)."""
    return (Path(path) / MANIFEST).is_file()
