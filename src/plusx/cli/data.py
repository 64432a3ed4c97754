"""plusx data: check images before training."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from plusx.cli.output import add_output, choose, choose_format, emit, screen_width
from plusx.cli.printing import localized, note
from plusx.errors import SpecError, unknown
from plusx.i18n import _
from plusx.text.alignment import aligned, paragraph

if TYPE_CHECKING:
    from plusx.data.check import DataReport


SUBCOMMAND_NAMES = ("check",)
FORMATS = ("table", "json")
MOST_SHOWN = 5
"""Findings of one kind in the table; --all and json have every one."""
MOST_CLASSES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("subcommand", metavar="SUBCOMMAND", help=_("what to do: {names}", names=", ".join(SUBCOMMAND_NAMES)))
    add("where", metavar="D", help=_("as for plusx train --data"))
    add(
        "--val-split",
        type=float,
        default=0.2,
        metavar="F",
        help=_("share held out for validation where the data has no val part"),
    )
    add("--seed", type=int, default=0, metavar="N", help=_("which images are held out, as in plusx train"))
    add_columns(parser)
    add(
        "--tiny-px",
        type=int,
        metavar="PX",
        help=_("an image is tiny if its shorter side is below this (default: a quarter of the median)"),
    )
    add(
        "--fail-on",
        default="",
        metavar="any|KIND,…",
        help=_("exit 1 if one of these is found; KIND is a word of the first column"),
    )
    add("--all", action="store_true", help=_("show every finding, not {most} of a kind", most=MOST_SHOWN))
    add("--format", choices=FORMATS, help=_("default: by the ending of FILE, else table"))
    add_output(parser)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """The options that name the columns of a CSV list, for every command that opens data."""
    add = parser.add_argument
    add(
        "--path-column",
        metavar="NAME",
        help=_("in a CSV list, the column with the images (default: found by its name)"),
    )
    add(
        "--label-column",
        metavar="NAME",
        help=_("in a CSV list, the column with the classes (default: found by its name)"),
    )


def run(args: argparse.Namespace) -> int:
    if args.subcommand not in SUBCOMMAND_NAMES:
        raise SpecError(unknown(_("subcommand of {command}", command="plusx data"), args.subcommand, SUBCOMMAND_NAMES))
    form = choose_format(args.format, args.output, FORMATS)
    from plusx.cli.progress import IndexingProgress
    from plusx.data.check import KINDS, check
    from plusx.data.parts import one_line

    fatal = [choose(_("kind of finding"), word, ("any", *KINDS)) for word in args.fail_on.split(",") if word]
    report = check(
        args.where, val_split=args.val_split, seed=args.seed, tiny_px=args.tiny_px, progress=IndexingProgress(),
        path_column=args.path_column, label_column=args.label_column,
    )  # fmt: skip
    for text in report.notes:
        note(one_line(localized(text)))
    if form == "json":
        emit(json.dumps({"data": args.where, **report.to_dict()}) + "\n", args.output)
    else:
        # names of files need be no text at all, and a terminal would obey what stands in them
        width, lines = screen_width(args.output), table(report, None if args.all else MOST_SHOWN)
        wrapped = [part for line in lines for part in paragraph(one_line(line), width, "    ", "")]
        emit("\n".join(wrapped) + "\n", args.output)
    found = {kind for kind, count in report.counts().items() if count}
    return 1 if found and ("any" in fatal or found & set(fatal)) else 0


def table(report: DataReport, most: int | None) -> list[str]:
    """The lines of the human form: a line a kind with its first findings, then the classes."""
    from plusx.data.check import KINDS

    head = _(
        "{kind}: {n_train:,} training images, {n_val:,} validation images",
        kind=report.kind, n_train=report.n_train, n_val=report.n_val,
    )  # fmt: skip
    lines = [localized(head), ""]
    for kind, count in report.counts().items():
        lines.append(f"{kind:<11}{count:>7,}   {localized(KINDS[kind])}")
        found = [finding for finding in report.findings if finding.kind == kind]
        for finding in found[:most]:
            paths = "  =  ".join(finding.paths[:4]) + ("  = …" if len(finding.paths) > 4 else "")
            text = localized(finding.note)
            lines.append(f"  {paths}: {text}" if paths else f"  {text}")
        if most is not None and count > most:
            lines.append("  " + localized(_("and {n:,} more; --all shows them", n=count - most)))
    return [*lines, "", *_balance(report, None if most is None else MOST_CLASSES)]


def _balance(report: DataReport, most: int | None) -> list[str]:
    """How many images each class has."""
    shown = report.classes if most is None else report.classes[:most]
    heads = [localized(head) for head in (_("class"), _("train"), _("val"))]
    rows = [[row.name, f"{row.train:,}", f"{row.val:,}"] for row in shown]
    lines = aligned(heads, rows, [False, True, True])
    if rest := report.classes[len(shown) :]:
        low, high = min(row.train for row in rest), max(row.train for row in rest)
        more = _(
            "and {n:,} more classes with {low:,} to {high:,} training images; --all shows them",
            n=len(rest), low=low, high=high,
        )  # fmt: skip
        lines.append(localized(more))
    return lines
