"""A trained network on disk: bundle.json and weights.safetensors. Needs no torch and no code from the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.bundles.atomic import Json, check_files, current_location, read_manifest, write_dir
from plusx.bundles.records import Provenance
from plusx.bundles.serialisation import Tensors, bytes_to_tensors, tensors_to_bytes
from plusx.errors import BundleError, PlusxError
from plusx.files import read_regular
from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec

SCHEMA = "plusx.bundle/1"
MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its files were complete and unchanged when it was opened.

    `metrics` is the result of its evaluation, `provenance` where the weights come from.
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
        return bytes_to_tensors(read_regular(path), str(path))


def save_bundle(
    path: str | Path,
    spec: ResNetSpec,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    weights: Mapping[str, NDArray[np.generic]],
    metrics: Mapping[str, Any] | None = None,
    provenance: Provenance | None = None,
) -> Path:
    """Write a bundle and return its path. An existing one is replaced only when the new one is complete.

    Raises BundleError when `path` holds something else, RunError when the disk is full or refuses.
    """
    path = Path(path)
    if path.exists() and not is_bundle(path) and (not path.is_dir() or any(path.iterdir())):
        raise BundleError(_("{path} exists and is not a bundle. Choose another path.", path=path))
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
    path = current_location(path)
    if not path.is_dir():
        if path is not asked and path.parent == asked:
            raise BundleError(_("The run {run} has no bundle yet. Train it further with --resume {run}.", run=asked))
        raise BundleError(
            _("There is no bundle at {path}. Give a folder with {manifest}.", path=asked, manifest=MANIFEST)
        )
    found = read_manifest(path, MANIFEST, SCHEMA)
    check_files(path, found["files"])
    try:
        if WEIGHTS not in found["files"]:
            raise KeyError(WEIGHTS)
        spec, classes = ResNetSpec.from_dict(found["spec"]), tuple(str(word) for word in found["classes"])
        if classes and len(classes) != spec.classes:
            raise ValueError(classes)
        return Bundle(
            path=path,
            spec=spec,
            classes=classes,
            preprocessing=Preprocessing.from_dict(found["preprocessing"]),
            metrics=dict(found["metrics"]),
            provenance=Provenance.from_dict(found["provenance"]),
            files=found["files"],
        )
    except PlusxError as error:
        raise BundleError(_("{path} cannot be used. {reason}", path=path / MANIFEST, reason=error.message)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            _("{path} cannot be used: {reason}. Use another copy.", path=path / MANIFEST, reason=wrong_fields(error))
        ) from error


def wrong_fields(error: Exception) -> Message:
    """Why the fields of a manifest cannot be used, given the exception that reading them raised (a clause)."""
    if isinstance(error, KeyError):
        return _("it lacks {key}", key=error.args[0])
    return _("it holds fields of another kind than plusx writes")


def is_bundle(path: str | Path) -> bool:
    """Whether a directory at `path` says that it is a bundle (nothing is verified)."""
    return (Path(path) / MANIFEST).is_file()
