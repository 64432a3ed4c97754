"""plusx predict: what is on these images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.networks import add_source, open_source
from plusx.cli.output import choose_format, counted, is_stdout, wrote
from plusx.errors import DataError, RunError, SpecError

if TYPE_CHECKING:
    from plusx.runtime import Item, Prediction, Predictor

SUMMARY = "name what is on images"
NOTHING_WORKED = 3
FORMATS = ("table", "csv", "jsonl", "parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_source(parser)
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="images, folders, patterns like 'photos/*.jpg', .tar, .parquet, or - for a list on stdin",
    )
    add("--top", type=int, default=5, metavar="N", help="how many classes to name (default 5)")
    add("--threshold", type=float, metavar="P", help="name no class that is less likely than this")
    add_engine(parser)
    add("--format", choices=FORMATS, help="default: as FILE ends, else table")
    add("-o", "--output", metavar="FILE", help="write there instead of to stdout")
    add("--resume", action="store_true", help="go on with a half-written FILE (csv, jsonl)")
    add("--shard", metavar="I/N", help="every N-th image, beginning with the I-th: one command a machine")
    add("--sort-into", metavar="DIR", help="copy each image into DIR/CLASS")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The options that say what computes."""
    add = parser.add_argument
    add("--engine", default="auto", metavar="auto|openvino|onnxruntime|torch")
    add(
        "--precision",
        default="auto",
        metavar="auto|fp32|bf16|int8",
        help="auto: the fastest that an export has proven, else fp32",
    )
    add("--device", default="auto", metavar="auto|cpu|cuda|mps", help="another than auto takes torch")
    add("--threads", type=int, metavar="N", help="cores to use, for decoding and computing together (default: all)")
    add(
        "--exact-decode",
        action="store_true",
        help="decode JPEGs at full size, then resize: slower, nearer to other systems",
    )


def run(args: argparse.Namespace) -> int:
    from plusx.cli.rowfile import RowFile
    from plusx.cli.working import Meter, peeked
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
    meter = Meter(total)
    with RowFile(args.output, form, predictor.top, args.resume, width) as out:
        left = out.skip_done(items)
        for number, row in enumerate(rows(predictor, left.items, args.threshold)):
            if left.last is not None and not number:
                same(Path(args.output), left.last, row)
            else:
                out.write(row)
            if sorter is not None:
                sorter(row)
            meter.count(row.error is None)
    n = meter.n + max(0, left.done - 1)
    good = meter.good + left.good - (left.last is not None and left.last.error is None)
    meter.close()
    if words := tally.words():
        print(f"note: {words}", file=sys.stderr)
    if not is_stdout(args.output):
        wrote(args.output, counted(n, "row"))
    if good < n:
        print(f"plusx: {n - good} of {n} could not be read; their rows say why", file=sys.stderr)
    if sorter is not None and sorter.failed:
        raise RunError(
            f"{counted(len(sorter.failed), 'image')} could not be copied into {args.sort_into}, the first: "
            f"{sorter.failed[0]}. Mend this and run the command again; what was copied is not copied twice."
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
    from plusx.runtime.plan import choose
    from plusx.runtime.predicting import unwarmed

    if args.device != "auto" and args.engine not in ("auto", "torch"):
        raise SpecError(f"--device {args.device}, is torch's; leave it out, or write --engine torch")
    engine = "torch" if args.device != "auto" else args.engine
    bundle = open_source(args)
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
    first, _, of = words.partition("/")
    if not (first.isdecimal() and of.isdecimal() and 1 <= int(first) <= int(of)):
        raise SpecError(f"--shard {words}; write two numbers like 3/8, the first from 1 to the second")
    return islice(items, int(first) - 1, None, int(of))


def check(args: argparse.Namespace, form: str) -> None:
    """Refuse words that would do nothing. Raises SpecError."""
    if args.resume and (is_stdout(args.output) or form not in ("csv", "jsonl")):
        raise SpecError("--resume continues a file; write -o FILE.csv or -o FILE.jsonl")
    if form == "parquet" and is_stdout(args.output):
        raise SpecError("--format parquet is no text; write -o FILE.parquet")
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise SpecError(f"--threshold {args.threshold}, must be a probability from 0 to 1")


def make_sorter(args: argparse.Namespace):
    from plusx.runtime.inputs import TARS
    from plusx.runtime.sorting import Sorter

    if args.sort_into is None:
        return None
    packed = [path for path in args.paths if path.lower().endswith((*TARS, ".parquet"))]
    if packed:
        raise DataError(f"--sort-into copies files, and {packed[0]} holds none; unpack it first")
    return Sorter(args.sort_into)
