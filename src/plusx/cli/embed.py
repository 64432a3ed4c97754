"""plusx embed: images as feature vectors, without torch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plusx.cli.networks import add_source, open_source
from plusx.cli.output import counted, wrote
from plusx.errors import SpecError

SUMMARY = "feature vectors of images"
NOTHING_WORKED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_source(parser)
    add("paths", nargs="+", metavar="PATH", help="as for plusx predict")
    add("--at", metavar="PLACE", help="like layer4 or layer3.2: that map, averaged (default: what the classifier sees)")
    add("--precision", default="auto", metavar="auto|fp32|bf16")
    add("--threads", type=int, metavar="N", help="cores to use (default: all)")
    add("--exact-decode", action="store_true", help="decode JPEGs at full size, then resize")
    add("--shard", metavar="I/N", help="every N-th image, beginning with the I-th")
    add(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help=".npy (rows in order; names and reasons in FILE.csv) or .parquet",
    )


def run(args: argparse.Namespace) -> int:
    from plusx.cli.predict import shard
    from plusx.cli.working import Meter, peeked
    from plusx.images import Tally
    from plusx.runtime.embedding import embedder
    from plusx.runtime.inputs import find
    from plusx.runtime.vectors import Npy, Parquet

    path = Path(args.output)
    if path.suffix not in (".npy", ".parquet"):
        raise SpecError(
            f"-o {args.output} does not end in .npy or .parquet, the two kinds that are written. Name it so."
        )
    tally = Tally()
    items = peeked(shard(find(args.paths, tally), args.shard))
    made = embedder(
        open_source(args), args.at, precision=args.precision, threads=args.threads, exact_decode=args.exact_decode
    )
    meter = Meter()
    with (Npy if path.suffix == ".npy" else Parquet)(path, made.width) as out:
        for row in made.stream(items):
            out.write(row)
            meter.count(row.error is None)
    meter.close()
    if words := tally.words():
        print(f"note: {words}", file=sys.stderr)
    beside = f", named in {path.with_suffix('.csv')}" if path.suffix == ".npy" else ""
    wrote(args.output, f"{counted(meter.n, 'row')} of {made.width} numbers{beside}")
    if meter.good < meter.n:
        print(f"plusx: {meter.n - meter.good} of {meter.n} could not be read; the file says why", file=sys.stderr)
    return 0 if meter.good else NOTHING_WORKED
