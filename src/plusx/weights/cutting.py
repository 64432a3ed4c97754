"""The first stages of a file's network, written so that every reader knows what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from plusx.analysis.feature_info import FeatureInfo, check_place, feature_info
from plusx.bundles.durable import write_file
from plusx.graph import lower
from plusx.names.shapes import COUNTER
from plusx.specs import ResNetSpec
from plusx.weights.identify import identify, read
from plusx.weights.stored import StoredFile
from plusx.weights.translate import Translation, settle, translate
from plusx.weights.writers import plusx_metadata, safetensors_bytes


class Cut(NamedTuple):
    """What was written, the network that it was cut from, how many tensors were kept and had, and what the last map is like.

    Counters of batches are not counted.
    """

    translation: Translation
    whole: ResNetSpec
    kept: int
    had: int
    info: FeatureInfo


def cut_file(
    source: str | Path | StoredFile, until: str, out: str | Path, *, spec: str | ResNetSpec | None = None,
    key: str | None = None, **fields: Any,
) -> Cut:  # fmt: skip
    """Write the tensors up to and with `until` (`stem`, `layer3`, `layer3.4`) as a safetensors file that names its spec.

    A network for BGR images is turned to RGB. Raises WeightsError, SpecError, GeometryError, RunError.
    """
    stored = read(source)
    found = identify(stored, key)
    whole = settle(found, spec, **fields)
    check_place(lower(whole), until)
    kept = whole.replace(until=until, classes=0)
    made = translate(stored, found, spec=kept, colour="RGB")
    write_file(Path(out), safetensors_bytes(made.tensors, plusx_metadata(made.spec, found.preprocessing)))
    return Cut(made, whole, _count(kept), _count(whole), feature_info(kept, until))


def _count(spec: ResNetSpec) -> int:
    return sum(not tensor.name.endswith(COUNTER) for _, tensor in lower(spec).tensors())
