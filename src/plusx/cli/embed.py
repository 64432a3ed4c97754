"""plusx embed: feature vectors of images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.batch import add_batch, is_batch, run_batch
from plusx.cli.languages import language
from plusx.cli.networks import add_source, open_source
from plusx.cli.output import wrote
from plusx.cli.printing import note
from plusx.errors import SpecError
from plusx.i18n import _, _n, translate

if TYPE_CHECKING:
    from plusx.cluster.parts import BatchOptions

NOTHING_WORKED = 3
CHECKS_OUTPUT = is_batch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from plusx.cli.predict import add_engine

    add = parser.add_argument
    add_source(parser)
    add("paths", nargs="+", metavar="PATH", help=_("as for plusx predict"))
    add(
        "--at",
        metavar="STAGE",
        help=_("average the map of a stage or block, like layer4 or layer3.2 (default: the input of fc)"),
    )
    add_engine(parser)
    add_batch(parser)
    add(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help=_(".npy, with the names and errors in a .csv beside it, or .parquet; with --shard also a folder"),
    )


def run(args: argparse.Namespace) -> int:
    from plusx.cli.image_progress import ImageProgress, peeked
    from plusx.cli.predict import engine_options
    from plusx.images import NonImages
    from plusx.runtime.embedding import embedder
    from plusx.runtime.inputs import find_images
    from plusx.runtime.vector_files import NpyVectors, ParquetVectors

    if is_batch(args):
        return run_batch(args, batch_options(args), None)
    path = Path(args.output)
    if path.suffix not in (".npy", ".parquet"):
        raise SpecError(
            _("-o {path} does not end in .npy or .parquet. Name a file of one of these two kinds.", path=args.output)
        )
    tally = NonImages()
    items = peeked(find_images(args.paths, tally))
    made = embedder(open_source(args, for_features=True), args.at, engine_options(args), exact_decode=args.exact_decode)
    meter = ImageProgress()
    with (NpyVectors if path.suffix == ".npy" else ParquetVectors)(path, made.width) as out:
        for row in made.stream(items):
            out.write(row)
            meter.update(row.error is None)
    meter.close()
    if words := tally.note():
        note(words)
    lang = language(args.lang)
    rows = _n("{n:,} row of {width} numbers", "{n:,} rows of {width} numbers", meter.n, width=made.width)
    if path.suffix == ".npy":
        rows = _("{rows}, named in {file}", rows=rows, file=path.with_suffix(".csv"))
    wrote(args.output, translate(rows, lang))
    if meter.good < meter.n:
        bad = _("plusx: {bad} of {n} images could not be read. The file says why.", bad=meter.n - meter.good, n=meter.n)
        print(translate(bad, lang), file=sys.stderr)
    return 0 if meter.good else NOTHING_WORKED


def batch_options(args: argparse.Namespace) -> BatchOptions:
    """What a shard computes of each image. Raises SpecError."""
    from plusx.cli.predict import engine_options
    from plusx.cluster.parts import BatchOptions

    return BatchOptions("embed", engine_options(args), args.exact_decode, at=args.at)
