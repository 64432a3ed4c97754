"""docs/json.md names every key that the commands write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from plusx.cli.main import main

DOC = (Path(__file__).resolve().parent.parent / "docs/json.md").read_text(encoding="utf-8")
COMMANDS = {
    "show": ["show", "resnet50"],
    "geometry": ["geometry", "seresnet50"],
    "diff": ["diff", "resnet18", "resnet34"],
    "explain": ["explain", "resnet18"],
}


def keys_of(record: object, deep: bool = True) -> set[str]:
    """Keys of an object and of the objects one level inside it; a spec's own fields and figures' names are data."""
    found: set[str] = set()
    if isinstance(record, dict):
        for key, value in record.items():
            found.add(key)
            if deep and key not in ("fields", "centring_sides"):
                for each in value if isinstance(value, list) else [value]:
                    found |= keys_of(each, deep=False)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_key_is_documented(name, capsys):
    assert main([*COMMANDS[name], "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == f"plusx.{name}/1"
    section = DOC.split(f"## plusx.{name}/1")[1].split("\n## ")[0]
    missing = {key for key in keys_of(record) if not re.search(rf"\b{key}\b", section)}
    assert missing - ({"version"} if name != "show" else set()) == set()
