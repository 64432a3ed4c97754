"""A trained network on disk: bundle.json and weights.safetensors. Needs no torch and no code from the run."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.bundles.atomic import MOST_MANIFEST, Json, current_location, read_manifest, write_dir
from plusx.bundles.records import Provenance
from plusx.bundles.serialisation import Tensors, bytes_to_tensors, tensors_to_bytes
from plusx.bundles.snapshot import OpenFiles
from plusx.bundles.writing import sole_writer
from plusx.errors import BundleError, PlusxError
from plusx.files import read_regular
from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec

SCHEMA = "plusx.bundle/1"
MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"
MOST_JSON = 4 << 20
"""Of a JSON file beside the manifest; tuned.json, with a processor's plans and all figures, takes a few thousand bytes."""
_MOST_TRIES = 50
"""How often a bundle that is replaced while it is opened is opened again."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its files were complete and unchanged when it was opened, and are held open.

    A training may replace the bundle at `path` meanwhile: what is read is of the version that was opened. `metrics` is the
    result of its evaluation, `provenance` where the weights come from.
    """

    path: Path
    spec: ResNetSpec
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    metrics: Json
    provenance: Provenance
    files: Json
    held: OpenFiles | None = field(default=None, repr=False, compare=False, kw_only=True)

    @property
    def weights_sha256(self) -> str:
        """The hash that every result made from these weights names."""
        return self.files[WEIGHTS]["sha256"]

    def weights(self, *, checked: bool = False) -> Tensors:
        """Tensor name → array, torchvision's names; hashed unless `checked` just now. Raises BundleError when the file was changed."""
        return bytes_to_tensors(self.read(WEIGHTS, checked=checked), str(self.path / WEIGHTS))

    def read(self, name: str, *, checked: bool = False) -> bytes:
        """The bytes of a file of `files`, as they were when the bundle was opened. Raises BundleError when it was changed."""
        held = self.held or OpenFiles(current_location(self.path), {name: self.files[name]})
        return held.read(name, checked=checked)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of `files`. Raises ValueError where it is none or larger than any that plusx writes; BundleError."""
        if self.files[name]["bytes"] > MOST_JSON:
            raise ValueError(name)
        try:
            return json.loads(self.read(name))
        except RecursionError as error:
            raise ValueError(name) from error


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
    files = {WEIGHTS: tensors_to_bytes(weights)}
    with sole_writer(path):
        write_dir(path, MANIFEST, manifest, files)
    return path


def open_bundle(path: str | Path | Bundle) -> Bundle:
    """Open the bundle at `path`, or the best one of the run at `path`; sizes and hashes of all its files are checked.

    An opened bundle is returned as it is.

    Raises BundleError that says what is missing, damaged, or newer than this plusx.
    """
    if isinstance(path, Bundle):
        return path
    asked = Path(path)
    for tries in range(_MOST_TRIES):
        target = _target(asked)
        before = _version(target)
        try:
            return _open(target, asked)
        except BundleError:
            again = before != _version(target) or (before is None and tries < 2)
            if not again or tries == _MOST_TRIES - 1:  # nobody has replaced it meanwhile
                raise
            time.sleep(0.001 * tries)
    raise AssertionError  # the last try returns or raises


def _version(target: Path) -> tuple[Path, bytes] | None:
    """What tells one version of a bundle from the next: where it is, and its manifest."""
    where = current_location(target)
    try:
        return where, read_regular(where / MANIFEST, MOST_MANIFEST)
    except OSError:
        return None


def bundle_stamp(path: Path) -> str | None:
    """What tells one version of the bundle at `path`, or of the run there, from the next; None where there is none. No weights are read."""
    found = _version(_target(path))
    return None if found is None else hashlib.sha256(found[1]).hexdigest()


def _target(asked: Path) -> Path:
    """Where the bundle is: at the path, or in the run there."""
    return asked / "bundle" if (asked / "run.json").is_file() and not is_bundle(asked) else asked


def _open(target: Path, asked: Path) -> Bundle:
    where = current_location(target)
    if not where.is_dir():
        if target is not asked:
            raise BundleError(_("The run {run} has no bundle yet. Train it further with --resume {run}.", run=asked))
        raise BundleError(
            _("There is no bundle at {path}. Give a folder with {manifest}.", path=asked, manifest=MANIFEST)
        )
    found = read_manifest(where, MANIFEST, SCHEMA)
    held = OpenFiles(where, found["files"])
    held.check()
    try:
        if WEIGHTS not in found["files"]:
            raise KeyError(WEIGHTS)
        spec, classes = ResNetSpec.from_dict(found["spec"]), tuple(str(word) for word in found["classes"])
        if classes and len(classes) != spec.classes:
            raise ValueError(classes)
        return Bundle(
            path=target,
            spec=spec,
            classes=classes,
            preprocessing=Preprocessing.from_dict(found["preprocessing"]),
            metrics=dict(found["metrics"]),
            provenance=Provenance.from_dict(found["provenance"]),
            files=found["files"],
            held=held,
        )
    except PlusxError as error:
        raise BundleError(_("{path} cannot be used. {reason}", path=target / MANIFEST, reason=error.message)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            _("{path} cannot be used: {reason}. Use another copy.", path=target / MANIFEST, reason=wrong_fields(error))
        ) from error


def wrong_fields(error: Exception) -> Message:
    """Why the fields of a manifest cannot be used, given the exception that reading them raised (a clause)."""
    if isinstance(error, KeyError):
        return _("it lacks {key}", key=error.args[0])
    return _("it holds fields of another kind than plusx writes")


def is_bundle(path: str | Path) -> bool:
    """Whether a directory at `path` says that it is a bundle (nothing is verified)."""
    return (Path(path) / MANIFEST).is_file()
