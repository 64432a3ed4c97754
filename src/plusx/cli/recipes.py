"""plusx recipes: the shipped recipes, what they gave, and the keys that change them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from plusx.cli.output import screen_width
from plusx.cli.printing import localized
from plusx.i18n import _
from plusx.text.alignment import fitted, paragraph, terminal_width

HEADS = {
    "result": _("result"),
    "on": _("data"),
    "network": _("network"),
    "seeds": _("seeds"),
    "seconds": _("seconds"),
    "machine": _("machine"),
    "differs": _("differs"),
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
        print("\n".join(_overview(names, screen_width())))
    else:
        print("\n".join([*contract(names[0], screen_width()), ""]))
        keys = READ.get(names[0], tuple(KEYS))
        print("\n".join(_keys({key: value for key, value in recipes[names[0]].items() if key in keys}, screen_width())))
    return 0


def contract(name: str, width: int | None) -> list[str]:
    """What a recipe gave, how often that was tried, on what: a paragraph each."""
    from plusx.training.recipe import module_of

    lines = [*_summary(name, width), ""]
    for key, text in module_of(name).CONTRACT.items():
        first = localized(HEADS[key])
        first += " " * (10 - terminal_width(first))
        lines += paragraph(localized(text), width, " " * 10, first)
    return lines


def _overview(names: Sequence[str], width: int | None) -> list[str]:
    """Each recipe with its summary, then each key with the value that it has where no recipe says another."""
    from plusx.training.recipe import Recipe

    keys = {key: value for key, value in Recipe("default").to_dict().items() if key != "name"}
    one = _("plusx recipes NAME shows the values of one recipe, its source, and what it gave.")
    change = _(
        "Change any key: plusx train … --epochs 20 --lr 0.02 for the most common ones, --recipe 'epochs=20 flip=no' for "
        "every key."
    )
    return [
        *(line for name in names for line in _summary(name, width)), "",
        *paragraph(localized(one), width), "",
        *_keys(keys, width), "",
        *paragraph(localized(change), width),
    ]  # fmt: skip


def _summary(name: str, width: int | None) -> list[str]:
    from plusx.training.recipe import module_of

    return paragraph(f"{name}: {localized(module_of(name).SUMMARY)}", width, "  ", "")


def _keys(values: Mapping[str, Any], width: int | None) -> list[str]:
    from plusx.training.recipe_keys import KEYS

    rows = [
        [key, KEYS[key].none if value is None else _shown(value), localized(KEYS[key].meaning)]
        for key, value in values.items()
    ]
    heads = [localized(head) for head in (_("key"), _("value"), _("meaning"))]
    return fitted(heads, rows, [False] * 3, width, wrap=(2,)).lines


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(f"{number:.3g}" for number in value)
    return (
        ("yes" if value else "no")
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
