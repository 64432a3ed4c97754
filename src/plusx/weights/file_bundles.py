"""A checkpoint of any family as a bundle in memory, so that whatever takes a bundle takes a file; and a bundle on disk of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plusx.bundles import Bundle, Provenance, save_bundle
from plusx.bundles.bundle import WEIGHTS
from plusx.bundles.serialisation import Tensors
from plusx.errors import DataError, WeightsError, unknown
from plusx.files import read_regular
from plusx.i18n import Message, _
from plusx.images import Preprocessing
from plusx.specs import ResNetSpec
from plusx.weights.assumptions import said_of
from plusx.weights.conversion.translate import Translation, load_file
from plusx.weights.families.family import BICUBIC, DETECTRON_MEAN, IMAGENET, KERAS_MEAN, SMALL
from plusx.weights.identification.identify import read
from plusx.weights.identification.result import IN_FILE
from plusx.weights.labelling import read_labels
from plusx.weights.stored import StoredFile

NAMED: dict[str, Preprocessing] = {
    "imagenet": IMAGENET, "bicubic": BICUBIC, "cifar": SMALL, "detectron": DETECTRON_MEAN, "keras": KERAS_MEAN,
}  # fmt: skip
"""Preprocessing by name: RGB images; detectron and keras subtract their mean from 0 to 255."""
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class FileBundle(Bundle):
    """A bundle that lives in memory. `said` are lines to print: what was taken from a convention or by default."""

    tensors: Tensors = field(default_factory=dict)
    said: tuple[Message, ...] = ()

    def weights(self, *, checked: bool = False) -> Tensors:
        """Tensor name to array, plusx's names; the arrays are shared, not copied."""
        return dict(self.tensors)


def bundle_of(
    source: str | Path | StoredFile, labels: str | Path | Sequence[str] | None = None,
    preprocessing: Preprocessing | str | Path | None = None, spec: str | ResNetSpec | None = None, key: str | None = None,
    *, for_training: bool = False, **fields: Any,
) -> FileBundle:  # fmt: skip
    """The checkpoint at `source` as a bundle in memory; what it does not show comes from arguments or the family's convention.

    `labels` as in `read_labels`; without, the file's own names or class 0, class 1, …. `preprocessing` is a Preprocessing, a
    name (imagenet, bicubic, cifar, detectron, keras) or a JSON file with its fields. Networks for BGR images are turned to
    RGB. `for_training` takes plain pixels where the preprocessing is not known, since a training brings its own.
    Raises WeightsError, SpecError, DataError.
    """
    stored = read(source)
    made = load_file(stored, spec=spec, key=key, colour="RGB", **fields)
    said: list[Message] = [line.text for line in said_of(made.identification, made.spec, made.notes)]
    classes = _classes(made, labels, said)
    pre = _preprocessing(made, preprocessing, said, for_training)
    found = made.identification
    provenance = Provenance(network=str(made.spec), other={
        "from": str(found.path), **_named(stored), "sha256": found.sha256, "family": found.family, "key": found.key, "notes": list(made.notes),
        "fields": {name: str(verdict) for name, verdict in found.fields.items() if verdict.how != "known"},
    })  # fmt: skip
    size = sum(array.nbytes for array in made.tensors.values())
    digest = hashlib.sha256(f"{found.sha256}/{found.key}/{made.spec}/{made.notes}".encode()).hexdigest()
    return FileBundle(
        path=stored.path, spec=made.spec, classes=classes, preprocessing=pre, metrics={}, provenance=provenance,
        files={WEIGHTS: {"bytes": size, "sha256": digest}}, tensors=made.tensors, said=tuple(said),
    )  # fmt: skip


def plain_pixels(channels: int) -> Preprocessing:
    """What stands in for a preprocessing that is not known: images of any size, from 0 to 1."""
    return Preprocessing("L" if channels == 1 else "RGB", None, None, mean=(0.0,) * channels, std=(1.0,) * channels)


def knows_preprocessing(bundle: Bundle) -> bool:
    """Whether a bundle says how images become its input; of a file opened for a training it may be unknown."""
    return bundle.preprocessing != plain_pixels(bundle.preprocessing.channels)


def _named(stored: StoredFile) -> dict[str, str]:
    """The name and the licence of weights that came from a hub, for the bundle's provenance."""
    if stored.fetched is None:
        return {}
    entry = stored.fetched.entry
    return {"name": stored.fetched.name} | ({} if entry is None else {"licence": entry.licence})


def write_bundle(bundle: FileBundle, out: str | Path) -> Path:
    """The bundle on disk. Raises BundleError, RunError."""
    return save_bundle(
        out, bundle.spec, bundle.classes, bundle.preprocessing, bundle.tensors, provenance=bundle.provenance
    )


def _classes(made: Translation, labels: str | Path | Sequence[str] | None, said: list[Message]) -> tuple[str, ...]:
    count = made.spec.classes
    if labels is not None:
        return read_labels(labels, count)
    own = made.identification.classes
    if own is not None:
        if not made.identification.preprocessing_is_known:  # else a table knows both, and says so once
            said.append(_("classes are named by the file"))
        return own
    if count:
        said.append(
            _(
                "the file names no classes, so they are called class 0 to class {last} (--labels FILE or imagenet-1k names them)",
                last=count - 1,
            )
        )
    return tuple(f"class {number}" for number in range(count))


def _preprocessing(
    made: Translation, asked: Preprocessing | str | Path | None, said: list[Message], for_training: bool
) -> Preprocessing:
    found = made.identification
    if isinstance(asked, Preprocessing):
        return asked
    if asked is not None:
        return named_preprocessing(asked)
    if for_training and found.preprocessing is None:
        return plain_pixels(1 if made.spec.in_channels == 1 else 3)
    if found.preprocessing is None:
        raise WeightsError(
            _(
                "{path} takes {in_channels} channels, and its preprocessing is unknown. Give --preprocessing with a JSON file, or one of {names}.",
                path=found.path,
                in_channels=made.spec.in_channels,
                names=", ".join(NAMED),
            )
        )
    if found.preprocessing_is_known:
        said.append(_("preprocessing as known of {source}", source=found.preprocessing_source))
    elif found.preprocessing_source != IN_FILE:
        said.append(_("preprocessing by convention of {source}", source=found.preprocessing_source or found.family))
    return found.preprocessing


def named_preprocessing(text: str | Path) -> Preprocessing:
    """A preprocessing by name, or from a JSON file with its fields (or a bundle.json). Raises DataError."""
    if str(text) in NAMED:
        return NAMED[str(text)]
    path = Path(text)
    if not path.is_file():
        raise DataError(unknown("preprocessing", str(text), NAMED))
    try:
        found = json.loads(read_regular(path, MOST_BYTES))
        fields = found.get("preprocessing", found)
        return Preprocessing.from_dict(fields if isinstance(fields, Mapping) else {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(
            _(
                "{path} holds no preprocessing. Write mode, resize_px, crop_px, interpolation, scale, mean and std as JSON.",
                path=path,
            )
        ) from None
