"""plusx recipes: the shipped recipes, what they gave, and the keys that change them."""

from __future__ import annotations

import argparse
import importlib
import json
from typing import Any

SUMMARY = "the training recipes and their settings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="one recipe, with the result it states")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace) -> int:
    from plusx.training.recipe import preset
    from plusx.training.recipe_keys import KEYS
    from plusx.training.recipes import NAMES

    names = NAMES if args.name is None else (args.name,)
    recipes = {name: preset(name).to_dict() for name in names}
    if args.format == "json":
        print(json.dumps(list(recipes.values()), indent=2))
    elif args.name is None:
        print(_table(recipes))
    else:
        print(f"{contract(args.name)}\n")
        rows = [[key, _shown(value), KEYS[key].meaning] for key, value in recipes[args.name].items() if key != "name"]
        print("\n".join(_aligned(rows)))
    return 0


def contract(name: str) -> str:
    """The head of a recipe's file: what it gives, how often that was tried, on what."""
    return (importlib.import_module(f"plusx.training.recipes.{name}").__doc__ or "").strip()


def _table(recipes: dict[str, dict[str, Any]]) -> str:
    keys = [key for key in next(iter(recipes.values())) if key != "name"]
    from plusx.training.recipe_keys import KEYS

    cells = ([key, *(_shown(values[key]) for values in recipes.values()), KEYS[key].meaning] for key in keys)
    lines = _aligned([["", *recipes, ""], *cells])
    heads = [f"{contract(name).splitlines()[0]}" for name in recipes]
    way = "change any: plusx train … --epochs 20 --lr 0.02, or --recipe 'epochs=20 flip=no' for every key"
    return "\n".join([*heads, "", *lines, "", way])


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _shown(value: Any) -> str:
    if value is None:
        return "auto"
    return (
        ("yes" if value else "no")
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
