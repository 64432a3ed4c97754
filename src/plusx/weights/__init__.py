"""Checkpoints of every ecosystem: read without executing anything, identified, translated to plusx's names, proven.

containers/        one reader a file format; `stored` is what they return
families/          how each ecosystem names tensors, and what it assumes
onnx_graphs/       a ResNet read from an ONNX graph
identification/    identify(): family, spec, and what is known, a convention or unknown
conversion/        load_file(): plusx's tensors; convert_file(): files for other systems
labelling          names of classes
file_bundles       bundle_of(): a checkpoint as a bundle
hub/               fetch(): weights by name, from caches and hubs
opening            open_source(), predictor(): a checkpoint wherever a bundle is taken
loading            build() and load(): a network of torch with the weights of a file
shorthands         resnet18() … resnet152()
cutting            cut_file(): the first stages of a network
assumptions        what was taken without being known, as lines
verification       verify(): do two files compute the same
guessing           guess(): what a file does not tell, from evidence
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; at run time a module is loaded when its name is first used
    from plusx.weights.containers import read
    from plusx.weights.conversion.convert_weights import convert_file
    from plusx.weights.conversion.target_systems import TARGETS, expressible
    from plusx.weights.conversion.translate import Translation, load_file
    from plusx.weights.file_bundles import FileBundle, bundle_of, named_preprocessing, write_bundle
    from plusx.weights.guessing import Guess, guess
    from plusx.weights.hub.fetching import FetchedWeights, fetch
    from plusx.weights.identification.identify import identify
    from plusx.weights.identification.printing import lines, to_dict
    from plusx.weights.identification.result import Identification
    from plusx.weights.labelling import read_labels
    from plusx.weights.verification import Verification, verify

__all__ = [
    "TARGETS",
    "FetchedWeights",
    "FileBundle",
    "Guess",
    "Identification",
    "Translation",
    "Verification",
    "bundle_of",
    "convert_file",
    "expressible",
    "fetch",
    "guess",
    "identify",
    "lines",
    "load_file",
    "named_preprocessing",
    "read",
    "read_labels",
    "to_dict",
    "verify",
    "write_bundle",
]

_MODULES = {
    "containers": ("read",),
    "conversion.convert_weights": ("convert_file",),
    "conversion.target_systems": ("TARGETS", "expressible"),
    "conversion.translate": ("Translation", "load_file"),
    "file_bundles": ("FileBundle", "bundle_of", "named_preprocessing", "write_bundle"),
    "guessing": ("Guess", "guess"),
    "hub.fetching": ("FetchedWeights", "fetch"),
    "identification.identify": ("identify",),
    "identification.printing": ("lines", "to_dict"),
    "identification.result": ("Identification",),
    "labelling": ("read_labels",),
    "verification": ("Verification", "verify"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
