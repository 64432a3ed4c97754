"""plusx embed: images as feature vectors, without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from plusx.cli.output import wrote
from plusx.cli.printing import note, warn
from plusx.errors import SpecError
from plusx.i18n import _, _n

NOTHING_WORKED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", help=_("a bundle or a run"))
    add("paths", nargs="+", metavar="PATH", help=_("as for plusx predict"))
    add(
        "--at",
        metavar="STAGE",
        help=_("average the map of a stage or block, like layer4 or layer3.2 (default: the input of fc)"),
    )
    add("--precision", default="auto", metavar="auto|fp32|bf16", help=_("number format (default: auto)"))
    add("--threads", type=int, metavar="N", help=_("cores to use (default: all)"))
    add("--exact-decode", action="store_true", help=_("decode JPEGs at full size, then resize"))
    add("--shard", metavar="I/N", help=_("every N-th image from the I-th on: one command for each machine"))
    add(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help=_(".npy, with the names and errors in a .csv beside it, or .parquet"),
    )


def run(args: argparse.Namespace) -> int:
    from plusx.cli.image_progress import ImageProgress, peeked
    from plusx.cli.predict import shard
    from plusx.images import Tally
    from plusx.runtime.embedding import embedder
    from plusx.runtime.inputs import find
    from plusx.runtime.vectors import Npy, Parquet

    path = Path(args.output)
    if path.suffix not in (".npy", ".parquet"):
        raise SpecError(
            _("-o {output} ends in neither .npy nor .parquet. Name the file like one of them.", output=args.output)
        )
    tally = Tally()
    items = peeked(shard(find(args.paths, tally), args.shard))
    made = embedder(
        args.source, args.at, precision=args.precision, threads=args.threads, exact_decode=args.exact_decode
    )
    meter = ImageProgress()
    with (Npy if path.suffix == ".npy" else Parquet)(path, made.width) as out:
        for row in made.stream(items):
            out.write(row)
            meter.update(row.error is None)
    meter.close()
    if words := tally.words():
        note(words)
    size = _n("{n:,} row of {width} numbers", "{n:,} rows of {width} numbers", meter.n, width=made.width)
    if path.suffix == ".npy":
        size = _("{size}, named in {file}", size=size, file=path.with_suffix(".csv"))
    wrote(args.output, size)
    if meter.good < meter.n:
        bad = meter.n - meter.good
        warn(_("{bad} of {n} could not be read. The file contains the reasons.", bad=bad, n=meter.n))
    return 0 if meter.good else NOTHING_WORKED
