"""plusx presets: the named networks, and with --keys the keys of the language."""

from __future__ import annotations

import argparse
import json

from plusx.cli.languages import add_language, language
from plusx.cli.output import screen_width
from plusx.i18n import _, translator
from plusx.specs import KEYS, PRESETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keys", action="store_true", help=_("the keys of the language instead"))
    parser.add_argument("--format", choices=("table", "json"), default="table", help=_("default: table"))
    add_language(parser)


def run(args: argparse.Namespace) -> int:
    if args.format == "json":
        print(json.dumps(_keys() if args.keys else _presets(), indent=2))
        return 0
    from plusx.text.presets_table import keys_table, presets_table

    table = keys_table if args.keys else presets_table
    print(table(translator(language(args.lang)), screen_width()), end="")
    return 0


def _keys() -> list[dict[str, object]]:
    return [{"key": name, "values": key.allowed, "meaning": key.meaning} for name, key in KEYS.items()]


def _presets() -> list[dict[str, object]]:
    return [
        {"preset": name, "words": preset.words, "size_px": preset.size_px, "source": preset.source}
        for name, preset in PRESETS.items()
    ]
