"""plusx data: check images before training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.languages import language
from plusx.cli.networks import add_key
from plusx.cli.output import add_output, choose, choose_format, emit, screen_width
from plusx.cli.printing import localized, note
from plusx.errors import SpecError, unknown
from plusx.i18n import _
from plusx.text.alignment import aligned, paragraph

if TYPE_CHECKING:
    from plusx.bundles import Bundle
    from plusx.data import Splits
    from plusx.data.check import DataReport
    from plusx.probing.checking import VectorReport


SUBCOMMAND_NAMES = ("check",)
FORMATS = ("table", "json", "html")
MOST_SHOWN = 5
"""Findings of one kind in the table; --all and json have every one."""
MOST_CLASSES = 20
OF_WEIGHTS = ("network", "preprocessing", "key", "engine", "precision", "threads")
"""Options that mean nothing without --weights."""


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
    add(
        "--weights",
        metavar="SOURCE",
        help=_("look for wrong labels and near-duplicates too, with the features of a bundle, a run or a weights file"),
    )
    add(
        "--network",
        metavar="WORDS",
        help=_("for a weights file: what its tensors do not show, like norm=group8, or its whole network"),
    )
    add(
        "--preprocessing",
        metavar="NAME|FILE",
        help=_(
            "for a weights file: imagenet, bicubic, cifar, detectron, keras or a JSON file (default: that of its family)"
        ),
    )
    add_key(parser)
    add("--engine", metavar="openvino|torch", help=_("what computes the features (default: auto)"))
    add(
        "--precision",
        metavar="fp32|bf16",
        help=_("of the features (default: bf16 where the processor multiplies it, else fp32)"),
    )
    add("--threads", type=int, metavar="N", help=_("cores for decoding and computing together (default: all)"))
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
    from plusx.data.check import check_splits
    from plusx.data.opening import open_data
    from plusx.data.parts import one_line

    fatal = _fatal(args)
    bundle = _bundle(args)
    splits = open_data(
        args.where, val_split=args.val_split, seed=args.seed, progress=IndexingProgress(), path_column=args.path_column,
        label_column=args.label_column,
    )  # fmt: skip
    report = check_splits(splits, tiny_px=args.tiny_px, progress=IndexingProgress())
    vectors = None
    if bundle is not None:
        report, vectors = _with_vectors(args, bundle, splits, report)
    for text in report.notes:
        note(one_line(localized(text)))
    if form == "json":
        whole = {"data": args.where, **report.to_dict()} | ({} if vectors is None else {"features": vectors.to_dict()})
        emit(json.dumps(whole) + "\n", args.output)
    elif form == "html":
        from plusx.probing.page import check_page

        emit(check_page(str(args.where), splits, report, vectors, language(args.lang)), args.output)
    else:
        # names of files need be no text at all, and a terminal would obey what stands in them
        width, lines = screen_width(args.output), table(report, None if args.all else MOST_SHOWN)
        wrapped = [part for line in lines for part in paragraph(one_line(line), width, "    ", "")]
        if vectors is not None:
            wrapped += ["", *growth(vectors, width)]
        emit("\n".join(wrapped) + "\n", args.output)
    found = {kind for kind, count in report.counts().items() if count}
    return 1 if found and ("any" in fatal or found & set(fatal)) else 0


def _fatal(args: argparse.Namespace) -> list[str]:
    """The kinds of findings that --fail-on names. Raises SpecError."""
    if not args.fail_on:
        return []
    from plusx.probing.checking import FOUND_BY_VECTORS, all_kinds

    words = [choose(_("kind of finding"), word, ("any", *all_kinds())) for word in args.fail_on.split(",") if word]
    needing = [word for word in words if word in FOUND_BY_VECTORS]
    if needing and args.weights is None:
        raise SpecError(
            _(
                "--fail-on {kind} needs features to look for them. Give a network with --weights SOURCE.",
                kind=needing[0],
            )
        )
    return words


def _bundle(args: argparse.Namespace) -> Bundle | None:
    """The network of --weights, or None. Raises SpecError for its options without it, BundleError, WeightsError, DataError."""
    if args.weights is None:
        given = [name for name in OF_WEIGHTS if getattr(args, name) is not None]
        if given:
            raise SpecError(
                _("--{name} is for a network that computes features. Give one with --weights SOURCE.", name=given[0])
            )
        return None
    from plusx.cli.networks import open_source

    return open_source(argparse.Namespace(**{**vars(args), "source": args.weights, "labels": None}))


def _with_vectors(
    args: argparse.Namespace, bundle: Bundle, splits: Splits, report: DataReport
) -> tuple[DataReport, VectorReport]:
    """The report with what the features of the network tell."""
    from plusx.cli.progress import FeatureProgress
    from plusx.probing.checking import check_vectors, with_vectors
    from plusx.runtime.engines import EngineOptions

    options = EngineOptions(args.engine or "auto", args.precision or "auto", threads=args.threads)
    equal = [finding for finding in report.findings if finding.kind == "leaks"]
    found = check_vectors(splits, bundle, equal, seed=args.seed, options=options, progress=FeatureProgress(), say=note)
    return with_vectors(report, found), found


def table(report: DataReport, most: int | None) -> list[str]:
    """The lines of the human form: a line a kind with its first findings, then the classes."""
    head = _(
        "{kind}: {n_train:,} training images, {n_val:,} validation images",
        kind=report.kind, n_train=report.n_train, n_val=report.n_val,
    )  # fmt: skip
    lines = [localized(head), ""]
    for kind, count in report.counts().items():
        lines.append(f"{kind:<11}{count:>7,}   {localized(report.kinds[kind])}")
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


def growth(found: VectorReport, width: int | None) -> list[str]:
    """Accuracy against the share of images, and what it means."""
    probe = _(
        "accuracy of a classifier on held-out images, fitted to features of {weights}", weights=Path(found.weights).name
    )
    heads = [_("share"), _("images"), _("accuracy"), _("95 %")]
    rows = [
        [f"{p.share:.0%}", f"{p.images:,}", f"{p.accuracy:.1%}", "{:.1%} – {:.1%}".format(*p.interval)]
        for p in found.curve.points
    ]
    lines = aligned([*map(localized, heads)], rows, [True] * 4)
    return [
        *paragraph(localized(probe), width, "", ""),
        *lines,
        *paragraph(localized(found.curve.verdict()), width, "", ""),
    ]
