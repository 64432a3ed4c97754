"""The first stages of a file's network, written with their spec in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from plusx.analysis.feature_info import FeatureInfo, check_feature_name, feature_info
from plusx.bundles.atomic import write_file
from plusx.graph import lower
from plusx.names.shapes import COUNTER
from plusx.specs import ResNetSpec
from plusx.weights.conversion.translate import Translation, settled_spec, translate
from plusx.weights.conversion.writers import plusx_metadata, safetensors_bytes
from plusx.weights.identification.identify import identify, read
from plusx.weights.stored import StoredFile


class Cut(NamedTuple):
    """What was written, the network before the cut, its numbers of tensors after and before it, and its last feature map.

    Batch counters are not counted.
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
    """Write the tensors up to and with `until` (`stem`, `layer3`, `layer3.4`) as a safetensors file with its spec.

    A network for BGR images is turned to RGB. Raises WeightsError, SpecError, GeometryError, RunError.
    """
    stored = read(source)
    found = identify(stored, key)
    whole = settled_spec(found, spec, **fields)
    check_feature_name(lower(whole), until)
    kept = whole.replace(until=until, classes=0)
    made = translate(stored, found, spec=kept, colour="RGB")
    write_file(Path(out), safetensors_bytes(made.tensors, plusx_metadata(made.spec, found.preprocessing)))
    return Cut(made, whole, _count(kept), _count(whole), feature_info(kept, until))


def _count(spec: ResNetSpec) -> int:
    return sum(not tensor.name.endswith(COUNTER) for _, tensor in lower(spec).tensors())
