"""What was asked: the spec of a network and its one language. Standard library alone."""

from plusx.specs.files import from_json, from_toml, read_spec_file, to_json, to_toml
from plusx.specs.keys import KEYS, SPEC
from plusx.specs.model import ResNetSpec
from plusx.specs.presets import PRESETS, Preset
from plusx.specs.rules import stage_geometry
from plusx.specs.text import base_preset, input_size, parse, preset

__all__ = [
    "KEYS", "PRESETS", "SPEC", "Preset", "ResNetSpec", "base_preset", "from_json", "from_toml", "input_size", "parse", "preset",
    "read_spec_file", "stage_geometry", "to_json", "to_toml",
]  # fmt: skip
