"""plusx presets: the named networks, and with --keys the keys of the language."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

from plusx.specs import KEYS, PRESETS

SUMMARY = "the named networks and the keys of the language"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keys", action="store_true", help="the keys of the language instead")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(args: argparse.Namespace) -> int:
    if args.keys:
        rows = [{"key": name, "values": key.allowed, "meaning": key.meaning} for name, key in KEYS.items()]
    else:
        rows = [
            {"preset": name, "words": preset.words, "size_px": preset.size_px, "source": preset.source}
            for name, preset in PRESETS.items()
        ]
    print(json.dumps(rows, indent=2) if args.format == "json" else _table(rows))
    return 0


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    heads = list(rows[0])
    widths = [max(len(head), *(len(str(row[head])) for row in rows)) for head in heads]
    lines = [heads, *([str(row[head]) for head in heads] for row in rows)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
