"""plusx data: work on images before a network sees them."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from plusx.cli.output import add_output, choose, choose_format, emit
from plusx.errors import SpecError, unknown

if TYPE_CHECKING:
    from plusx.data.check import DataReport

SUMMARY = "check images before training: unreadable, duplicate, leaking, odd, uneven"

WAYS = ("check",)
FORMATS = ("table", "json")
MOST_SHOWN = 5
"""Findings of one kind in the table; --all and json have every one."""
MOST_CLASSES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("way", metavar="WAY", help=", ".join(WAYS))
    add("where", metavar="D", help="as for plusx train --data")
    add("--val-split", type=float, default=0.2, metavar="F", help="share held out where the data has no val part")
    add("--seed", type=int, default=0, metavar="N", help="which share that is, as in plusx train")
    add_columns(parser)
    add("--tiny-px", type=int, metavar="PX", help="shorter sides below are tiny (default: a quarter of the median)")
    add(
        "--fail-on",
        default="",
        metavar="any|KIND,…",
        help="exit 1 when one of these is found, else 0; KIND: a word of the table's first column",
    )
    add("--all", action="store_true", help=f"show every finding, not {MOST_SHOWN} of a kind")
    add("--format", choices=FORMATS, help="default: as FILE ends, else table")
    add_output(parser)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """The options that name the columns of a CSV list, for every command that opens data."""
    add = parser.add_argument
    add(
        "--path-column",
        metavar="NAME",
        help="of a CSV list: the column that names the images (default: found by its name)",
    )
    add("--label-column", metavar="NAME", help="of a CSV list: the column of classes (default: found by its name)")


def run(args: argparse.Namespace) -> int:
    if args.way not in WAYS:
        raise SpecError(unknown("way of plusx data", args.way, WAYS))
    form = choose_format(args.format, args.output, FORMATS)
    from plusx.cli.progress import Indexing
    from plusx.data.check import KINDS, check
    from plusx.data.parts import one_line

    fatal = [choose("kind of finding", word, ("any", *KINDS)) for word in args.fail_on.split(",") if word]
    report = check(
        args.where, val_split=args.val_split, seed=args.seed, tiny_px=args.tiny_px, progress=Indexing(),
        path_column=args.path_column, label_column=args.label_column,
    )  # fmt: skip
    for note in report.notes:
        print(f"note: {one_line(note)}", file=sys.stderr)
    if form == "json":
        emit(json.dumps({"data": args.where, **report.to_dict()}) + "\n", args.output)
    else:
        # names of files need be no text at all, and a terminal would obey what stands in them
        lines = [one_line(line) for line in table(report, None if args.all else MOST_SHOWN)]
        emit("\n".join(lines) + "\n", args.output)
    found = {kind for kind, count in report.counts().items() if count}
    return 1 if found and ("any" in fatal or found & set(fatal)) else 0


def table(report: DataReport, most: int | None) -> list[str]:
    """The lines of the human form: a line a kind with its first findings, then the classes."""
    from plusx.data.check import KINDS

    lines = [f"{report.kind}: {report.n_train:,} images to train on, {report.n_val:,} to validate", ""]
    for kind, count in report.counts().items():
        lines.append(f"{kind:<11}{count:>7,}   {KINDS[kind]}")
        found = [finding for finding in report.findings if finding.kind == kind]
        for finding in found[:most]:
            paths = "  =  ".join(finding.paths[:4]) + ("  = …" if len(finding.paths) > 4 else "")
            lines.append(f"  {paths}: {finding.note}" if paths else f"  {finding.note}")
        if most is not None and count > most:
            lines.append(f"  and {count - most:,} more; --all shows them")
    return [*lines, "", *_balance(report, None if most is None else MOST_CLASSES)]


def _balance(report: DataReport, most: int | None) -> list[str]:
    rows = report.classes if most is None else report.classes[:most]
    width = max(len("class"), *(len(row.name) for row in rows))
    lines = [f"{'class':<{width}}  {'train':>7}  {'val':>7}"]
    lines += [f"{row.name:<{width}}  {row.train:>7,}  {row.val:>7,}" for row in rows]
    if rest := report.classes[len(rows) :]:
        low, high = min(row.train for row in rest), max(row.train for row in rest)
        lines.append(f"and {len(rest):,} more with {low:,} to {high:,} to train on; --all shows them")
    return lines
