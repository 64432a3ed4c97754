"""The specification of a network and the language in which it is written. Imports the standard library alone."""

from plusx.specs.files import from_json, from_toml, read_spec_file, to_json, to_toml
from plusx.specs.keys import KEYS, SPEC
from plusx.specs.model import ResNetSpec
from plusx.specs.parsing import input_size, parse, preset
from plusx.specs.presets import PRESETS, Preset
from plusx.specs.printing import base_preset
from plusx.specs.rules import stage_geometry

__all__ = [
    "KEYS", "PRESETS", "SPEC", "Preset", "ResNetSpec", "base_preset", "from_json", "from_toml", "input_size", "parse", "preset",
    "read_spec_file", "stage_geometry", "to_json", "to_toml",
]  # fmt: skip
