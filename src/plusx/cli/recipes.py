"""plusx recipes: the shipped recipes, what they gave, and the keys that change them."""

from __future__ import annotations

import argparse
import importlib
import json
from typing import Any

from plusx.cli.output import screen_width
from plusx.cli.printing import localized
from plusx.i18n import _
from plusx.text.alignment import fitted, paragraph, terminal_width

HEADS = {
    "result": _("result"),
    "on": _("data"),
    "seeds": _("seeds"),
    "seconds": _("seconds"),
    "machine": _("machine"),
    "source": _("source"),
}
"""What the lines of a recipe's contract are called."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help=_("one recipe, with the result it states"))
    parser.add_argument("--format", choices=("table", "json"), default="table", help=_("default: table"))


def run(args: argparse.Namespace) -> int:
    from plusx.training.recipe import preset
    from plusx.training.recipe_keys import KEYS, READ
    from plusx.training.recipes import NAMES

    names = NAMES if args.name is None else (preset(args.name).name,)
    recipes = {name: preset(name).to_dict() for name in names}
    if args.format == "json":
        print(json.dumps(list(recipes.values()), indent=2))
    elif args.name is None:
        print(_table(recipes))
    else:
        print("\n".join([*contract(names[0], screen_width()), ""]))
        rows = [
            [key, _shown(value), localized(KEYS[key].meaning)]
            for key, value in recipes[names[0]].items()
            if key != "name" and key in READ.get(names[0], KEYS)
        ]
        heads = [localized(head) for head in (_("key"), _("value"), _("meaning"))]
        print("\n".join(fitted(heads, rows, [False] * 3, screen_width(), wrap=(2,)).lines))
    return 0


def contract(name: str, width: int | None) -> list[str]:
    """What a recipe gave, how often that was tried, on what: a paragraph each."""
    module = importlib.import_module(f"plusx.training.recipes.{name}")
    lines = [*_summary(name, width), ""]
    for key, text in module.CONTRACT.items():
        first = localized(HEADS[key])
        first += " " * (10 - terminal_width(first))
        lines += paragraph(localized(text), width, " " * 10, first)
    return lines


def _summary(name: str, width: int | None) -> list[str]:
    module = importlib.import_module(f"plusx.training.recipes.{name}")
    return paragraph(f"{name}: {localized(module.SUMMARY)}", width, "  ", "")


def _table(recipes: dict[str, dict[str, Any]]) -> str:
    from plusx.training.recipe_keys import KEYS, READ

    keys = [key for key in next(iter(recipes.values())) if key != "name"]
    rows = [
        [
            key,
            *(_shown(values[key]) if key in READ.get(name, KEYS) else "" for name, values in recipes.items()),
            localized(KEYS[key].meaning),
        ]
        for key in keys
    ]
    heads, width = [localized(_("key")), *recipes, localized(_("meaning"))], screen_width()
    lines = fitted(heads, rows, [False] * len(heads), width, wrap=(len(heads) - 1,)).lines
    summaries = [line for name in recipes for line in _summary(name, width)]
    change = _(
        "Change any key: plusx train … --epochs 20 --lr 0.02 for the most common ones, --recipe 'epochs=20 flip=no' for "
        "every key."
    )
    return "\n".join([*summaries, "", *lines, "", *paragraph(localized(change), width)])


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
