"""Specifications in TOML and JSON files: a preset and keys, or all fields."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from plusx.errors import SpecError
from plusx.files import read_regular
from plusx.i18n import Message, _
from plusx.specs.keys import SPEC
from plusx.specs.model import ResNetSpec
from plusx.specs.parsing import preset
from plusx.specs.rules import resolve

MAX_BYTES = 1 << 20


def to_toml(spec: ResNetSpec) -> str:
    """All fields as TOML; `from_toml` gives the same spec."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in spec.to_dict().items())


def from_toml(text: str) -> ResNetSpec:
    """The spec of a TOML table: `preset = "resnet50"` and the keys of the language. Raises SpecError."""
    import tomllib

    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # before Python 3.14, tomllib gives the line in its text alone
        line = re.search(r"at line (\d+)", str(error))
        raise SpecError(_invalid("TOML", line and int(line[1]), 'stem = "deep"')) from None
    return from_table(values)


def to_json(spec: ResNetSpec) -> str:
    """All fields as a JSON object; `from_json` gives the same spec."""
    return json.dumps(spec.to_dict())


def from_json(text: str) -> ResNetSpec:
    """The spec of a JSON object with the keys of the language. Raises SpecError."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(_invalid("JSON", getattr(error, "lineno", None), JSON_EXAMPLE)) from None
    if not isinstance(values, dict):
        raise SpecError(_("A spec in JSON is an object. Write one like {example}.", example=JSON_EXAMPLE))
    return from_table(cast("dict[str, Any]", values))


JSON_EXAMPLE = '{"preset": "resnet50", "stem": "deep"}'


def _invalid(form: str, line: int | None, example: str) -> Message:
    if line is None:
        return _("The spec is not valid {form}. Write it like {example}.", form=form, example=example)
    return _(
        "The spec is not valid {form} at line {line}. Write it like {example}.", form=form, line=line, example=example
    )


def from_table(values: dict[str, Any]) -> ResNetSpec:
    """The spec of a table that TOML or JSON gave. Raises SpecError."""
    keys = dict(values)
    name = keys.pop("preset", None)
    base = preset(name) if isinstance(name, str) else ResNetSpec()
    return resolve(base, SPEC.checked(keys))


def read_spec_file(path: Path) -> ResNetSpec:
    """The spec in a .toml or .json file. Raises SpecError when it cannot be read."""
    try:
        text = read_regular(path, MAX_BYTES).decode()
    except UnicodeDecodeError:
        raise SpecError(_("{path} is not UTF-8 text. Give a .toml or .json file.", path=path)) from None
    except FileNotFoundError:
        raise SpecError(_("There is no file {path}. Give a .toml or .json file.", path=path)) from None
    except OSError as error:
        raise SpecError(
            _(
                "{path} cannot be read ({reason}). Give a readable .toml or .json file.",
                path=path,
                reason=error.strerror,
            )
        ) from None
    return from_json(text) if path.suffix == ".json" else from_toml(text)
