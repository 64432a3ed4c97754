"""plusx predict: the classes of images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.batch import add_batch, is_batch, run_batch
from plusx.cli.languages import language
from plusx.cli.networks import add_source, open_source
from plusx.cli.output import add_output, choose_format, is_stdout, wrote
from plusx.cli.printing import note
from plusx.errors import DataError, RunError, SpecError
from plusx.i18n import _, _n, translate, visible

if TYPE_CHECKING:
    from plusx.cluster.parts import BatchOptions
    from plusx.runtime import EngineOptions, Item, Prediction, Predictor
    from plusx.runtime.sorting import Sorter

NOTHING_WORKED = 3
FORMATS = ("table", "csv", "jsonl", "parquet")
CHECKS_OUTPUT = is_batch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_source(parser)
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help=_("images, folders, patterns like 'photos/*.jpg', .tar, .parquet, or - for a list on stdin"),
    )
    add("--top", type=int, default=5, metavar="N", help=_("classes per image (default: 5)"))
    add("--threshold", type=float, metavar="P", help=_("omit classes with a probability below this"))
    add_engine(parser)
    add("--format", choices=FORMATS, help=_("default: by the ending of FILE, else table; parts in a folder: jsonl"))
    add_output(parser)
    add("--resume", action="store_true", help=_("continue a partly written FILE (csv, jsonl)"))
    add_batch(parser)
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
    from plusx.images import NonImages
    from plusx.runtime.inputs import find_images, is_countable
    from plusx.runtime.predicting import open_predictor
    from plusx.runtime.prediction_files import PredictionWriter
    from plusx.runtime.rows import check_same_row

    if is_batch(args):
        return run_batch(args, batch_options(args), args.format)
    form = choose_format(args.format, args.output, FORMATS)
    check(args, form)
    # the images are counted first for the progress line and the table's first column; listing names is cheap
    wanted = is_countable(args.paths) and (form == "table" or sys.stderr.isatty())
    total, width = measured(find_images(args.paths)) if wanted else (None, 0)
    predictor = open_predictor(
        open_source(args), engine_options(args), top=args.top, exact_decode=args.exact_decode, count=total
    )
    tally = NonImages()
    items = peeked(find_images(args.paths, tally))
    sorter = make_sorter(args)
    meter = ImageProgress(total)
    path = None if is_stdout(args.output) else args.output
    with PredictionWriter(path, form, predictor.top, args.resume, width, language(args.lang)) as out:
        left = out.skip_done(items)
        for number, row in enumerate(rows(predictor, left.items, args.threshold)):
            if left.last is not None and not number:
                check_same_row(Path(args.output), left.last, row)
            else:
                out.write(row)
            if sorter is not None:
                sorter(row)
            meter.update(row.error is None)
    meter.close()
    if words := tally.note():
        note(words)
    # the row of `left.last` stood in the file and was computed again
    n = meter.n + max(0, left.done - 1)
    good = meter.good + left.good - (left.last is not None)
    return finish(args, n, good, sorter)


def finish(args: argparse.Namespace, n: int, good: int, sorter: Sorter | None) -> int:
    """The exit code, after the last lines on stderr. Raises RunError."""
    if not is_stdout(args.output):
        wrote(args.output, _n("{n:,} row", "{n:,} rows", n))
    if good < n:
        text = _("plusx: {bad} of {n} images could not be read. Their rows say why.", bad=n - good, n=n)
        print(translate(text, language(args.lang)), file=sys.stderr)
    if sorter is not None and sorter.failed:
        raise RunError(
            _(
                "{images} could not be copied into {folder}, first of all {first}. Remove the cause and run the same "
                "command again. Images that were copied are not copied twice.",
                images=_n("{n:,} image", "{n:,} images", len(sorter.failed)),
                folder=args.sort_into,
                first=sorter.failed[0],
            )
        )
    return 0 if good or not n else NOTHING_WORKED


def measured(items: Iterable[Item]) -> tuple[int, int]:
    """The number of items, and the length of the longest name."""
    n = width = 0
    for item in items:
        n, width = n + 1, max(width, len(visible(item.name)))
    return n, width


def rows(predictor: Predictor, items: Iterable[Item], threshold: float | None) -> Iterator[Prediction]:
    for row in predictor.stream(items):
        yield row if threshold is None else row.above(threshold)


def engine_options(args: argparse.Namespace) -> EngineOptions:
    """The engine, precision, device and threads that were asked for. Raises SpecError."""
    from plusx.runtime.engines import EngineOptions

    return EngineOptions(args.engine, args.precision, threads=args.threads, device=args.device)


def batch_options(args: argparse.Namespace) -> BatchOptions:
    """What a shard computes of each image. Raises SpecError for options that a part cannot have."""
    from plusx.cluster.parts import BatchOptions

    for given, option in ((args.resume, "--resume"), (args.sort_into is not None, "--sort-into")):
        if given:
            why = _(
                "Leave {option} out: the same command computes what is missing, and copies no images.", option=option
            )
            raise SpecError(_("{option} is not for --shard and --ray. {why}", option=option, why=why))
    return BatchOptions("predict", engine_options(args), args.exact_decode, args.top, args.threshold)


def check(args: argparse.Namespace, form: str) -> None:
    """Refuse options that would have no effect. Raises SpecError."""
    if args.resume and (is_stdout(args.output) or form not in ("csv", "jsonl")):
        raise SpecError(_("--resume continues a file. Name it with -o FILE.csv or -o FILE.jsonl."))
    if form == "parquet" and is_stdout(args.output):
        raise SpecError(_("--format parquet cannot be written to stdout. Name a file with -o FILE.parquet."))


def make_sorter(args: argparse.Namespace) -> Sorter | None:
    """The Sorter of --sort-into, or None. Raises DataError."""
    from plusx.runtime.inputs import TARS
    from plusx.runtime.sorting import Sorter

    if args.sort_into is None:
        return None
    packed = [path for path in args.paths if path.lower().endswith((*TARS, ".parquet"))]
    if packed:
        raise DataError(_("--sort-into copies image files, but {path} is an archive. Unpack it first.", path=packed[0]))
    return Sorter(args.sort_into)
