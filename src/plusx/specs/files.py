"""Specs in TOML and JSON files: a preset and keys, or all fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from plusx.errors import SpecError
from plusx.specs.keys import SPEC
from plusx.specs.model import ResNetSpec
from plusx.specs.rules import resolve
from plusx.specs.text import preset

MOST_BYTES = 1 << 20


def to_toml(spec: ResNetSpec) -> str:
    """All fields as TOML; `from_toml` gives the same spec."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in spec.to_dict().items())


def from_toml(text: str) -> ResNetSpec:
    """The spec of a TOML table: `preset = "resnet50"` and keys as in the language. Raises SpecError."""
    import tomllib

    try:
        return from_table(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f'not TOML: {error}; write lines like stem = "deep"') from None


def to_json(spec: ResNetSpec) -> str:
    return json.dumps(spec.to_dict())


def from_json(text: str) -> ResNetSpec:
    """The spec of a JSON object, keys as in the language. Raises SpecError."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise SpecError(f"not JSON: {error}") from None
    if not isinstance(values, dict):
        raise SpecError('a spec in JSON is an object like {"preset": "resnet50", "stem": "deep"}')
    return from_table(cast("dict[str, Any]", values))


def from_table(values: dict[str, Any]) -> ResNetSpec:
    keys = dict(values)
    name = keys.pop("preset", None)
    base = preset(name) if isinstance(name, str) else ResNetSpec()
    return resolve(base, SPEC.checked(keys))


def read_spec_file(path: Path) -> ResNetSpec:
    """The spec in a .toml or .json file. Raises SpecError when it cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SpecError(f"{path} is larger than a spec can be ({MOST_BYTES} bytes)")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}") from None
    return from_json(text) if path.suffix == ".json" else from_toml(text)
