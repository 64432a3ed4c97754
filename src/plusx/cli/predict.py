"""plusx predict: classify images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.output import add_output, choose_format, is_stdout, wrote
from plusx.cli.printing import note, warn
from plusx.errors import DataError, RunError, SpecError
from plusx.i18n import _, _n

if TYPE_CHECKING:
    from plusx.runtime import Item, Prediction, Predictor

NOTHING_WORKED = 3
FORMATS = ("table", "csv", "jsonl", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", help=_("a bundle or a run"))
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help=_("images, folders, patterns like 'photos/*.jpg', .tar, .parquet, or - for a list on stdin"),
    )
    add("--top", type=int, default=5, metavar="N", help=_("classes per image (default: 5)"))
    add("--threshold", type=float, metavar="P", help=_("omit classes with a probability below this"))
    add_engine(parser)
    add("--format", choices=FORMATS, help=_("default: by the ending of FILE, else table"))
    add_output(parser)
    add("--resume", action="store_true", help=_("continue a partly written FILE (csv, jsonl)"))
    add("--shard", metavar="I/N", help=_("every N-th image from the I-th on: one command for each machine"))
    add("--sort-into", metavar="DIR", help=_("copy each image into DIR/CLASS"))


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The options that say what computes."""
    add = parser.add_argument
    add("--engine", default="auto", metavar="auto|openvino|onnxruntime|torch", help=_("what computes (default: auto)"))
    add(
        "--precision",
        default="auto",
        metavar="auto|fp32|bf16|int8",
        help=_("auto: the fastest that an export was verified for, else fp32"),
    )
    add("--device", default="auto", metavar="auto|cpu|cuda|mps", help=_("any other than auto needs --engine torch"))
    add("--threads", type=int, metavar="N", help=_("cores for decoding and computing together (default: all)"))
    add(
        "--exact-decode",
        action="store_true",
        help=_("decode JPEGs at full size, then resize: slower, closer to other systems"),
    )


def run(args: argparse.Namespace) -> int:
    from plusx.cli.image_progress import ImageProgress, peeked
    from plusx.cli.rowfile import RowFile
    from plusx.images import Tally
    from plusx.runtime.inputs import find, is_countable
    from plusx.runtime.rows import same

    form = choose_format(args.format, args.output, FORMATS)
    check(args, form)
    # a walk beforehand, for the bar and the table's first column; names alone cost little
    wanted = is_countable(args.paths) and (form == "table" or sys.stderr.isatty())
    total, width = measured(shard(find(args.paths), args.shard)) if wanted else (None, 0)
    predictor = open_predictor(args, total)
    tally = Tally()
    items = peeked(shard(find(args.paths, tally), args.shard))
    sorter = make_sorter(args)
    meter = ImageProgress(total)
    with RowFile(args.output, form, predictor.top, args.resume, width) as out:
        left = out.skip_done(items)
        for number, row in enumerate(rows(predictor, left.items, args.threshold)):
            if left.last is not None and not number:
                same(Path(args.output), left.last, row)
            else:
                out.write(row)
            if sorter is not None:
                sorter(row)
            meter.update(row.error is None)
    n = meter.n + max(0, left.done - 1)
    good = meter.good + left.good - (left.last is not None and left.last.error is None)
    meter.close()
    if words := tally.words():
        note(words)
    if not is_stdout(args.output):
        wrote(args.output, _n("{n:,} row", "{n:,} rows", n))
    if good < n:
        warn(_("{bad} of {n} could not be read. Their rows contain the reasons.", bad=n - good, n=n))
    if sorter is not None and sorter.failed:
        raise RunError(
            _n(
                "{n} image could not be copied into {folder}: {first}. Fix this and run the command again, which copies "
                "only what is missing.",
                "{n} images could not be copied into {folder}. The first is {first}. Fix this and run the command again, "
                "which copies only what is missing.",
                len(sorter.failed),
                folder=args.sort_into,
                first=sorter.failed[0],
            )
        )
    return 0 if good or not n else NOTHING_WORKED


def measured(items: Iterable[Item]) -> tuple[int, int]:
    """How many there are, and the length of the longest name."""
    n = width = 0
    for item in items:
        n, width = n + 1, max(width, len(item.name))
    return n, width


def rows(predictor: Predictor, items: Iterable[Item], threshold: float | None) -> Iterator[Prediction]:
    for row in predictor.stream(items):
        yield row if threshold is None else replace(row, top=tuple(t for t in row.top if t[1] >= threshold))


def open_predictor(args: argparse.Namespace, count: int | None = None) -> Predictor:
    """The predictor that the words ask for; torch is imported only where it computes."""
    from plusx.bundles import open_bundle
    from plusx.runtime.plan import choose
    from plusx.runtime.predicting import unwarmed

    if args.device != "auto" and args.engine not in ("auto", "torch"):
        raise SpecError(
            _("--device {device} needs torch. Write --engine torch, or remove --device.", device=args.device)
        )
    engine = "torch" if args.device != "auto" else args.engine
    bundle = open_bundle(args.source)
    if choose(bundle, engine, args.precision, threads=args.threads).engine == "torch":
        from plusx.deploy.with_torch import torch_predictor

        return torch_predictor(
            bundle,
            precision=args.precision,
            top=args.top,
            threads=args.threads,
            device=args.device,
            exact_decode=args.exact_decode,
        )
    return unwarmed(
        bundle, engine=engine, precision=args.precision, top=args.top, threads=args.threads, purpose="throughput",
        exact_decode=args.exact_decode, count=count,
    )  # fmt: skip


def shard(items: Iterator[Item], words: str | None) -> Iterator[Item]:
    """Every n-th item from the i-th on, for "i/n". Raises SpecError."""
    if words is None:
        return items
    first, _slash, of = words.partition("/")
    if not (first.isdecimal() and of.isdecimal() and 1 <= int(first) <= int(of)):
        raise SpecError(
            _(
                "--shard {words} is not a share. Write two numbers like 3/8, the first from 1 to the second.",
                words=words,
            )
        )
    return islice(items, int(first) - 1, None, int(of))


def check(args: argparse.Namespace, form: str) -> None:
    """Refuse words that would do nothing. Raises SpecError."""
    if args.resume and (is_stdout(args.output) or form not in ("csv", "jsonl")):
        raise SpecError(_("--resume continues a file. Write -o FILE.csv or -o FILE.jsonl."))
    if form == "parquet" and is_stdout(args.output):
        raise SpecError(_("--format parquet cannot go to stdout. Write -o FILE.parquet."))
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise SpecError(
            _("--threshold {value} is not a probability. Write a number from 0 to 1.", value=args.threshold)
        )


def make_sorter(args: argparse.Namespace):
    from plusx.runtime.inputs import TARS
    from plusx.runtime.sorting import Sorter

    if args.sort_into is None:
        return None
    packed = [path for path in args.paths if path.lower().endswith((*TARS, ".parquet"))]
    if packed:
        raise DataError(_("--sort-into copies image files, but {file} is an archive. Unpack it first.", file=packed[0]))
    return Sorter(args.sort_into)
