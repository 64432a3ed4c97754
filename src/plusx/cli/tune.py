"""plusx tune: what is fastest on this processor, measured and kept in the bundle."""

from __future__ import annotations

import argparse
import sys

from plusx.cli.networks import require_bundle
from plusx.i18n import _

SUMMARY = "measure which engine, precision and batch are fastest here"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="BUNDLE", help=_("a bundle or a run"))
    add("--for", dest="purpose", default="throughput", metavar="latency|throughput")
    add("--threads", type=int, metavar="N", help="cores to use (default: all)")
    add("--seconds", type=float, default=0.4, metavar="S", help="how long each candidate runs (default 0.4)")


def run(args: argparse.Namespace) -> int:
    require_bundle(args.source, _("Make a bundle of it: plusx weights bundle {source} -o DIR.", source=args.source))
    from plusx.runtime.tuning import figure_text, tune

    found = tune(
        args.source,
        args.purpose,
        seconds=args.seconds,
        threads=args.threads,
        say=lambda line: print(line, file=sys.stderr),
    )
    sys.stderr.flush()
    print(
        f"chosen: {found.plan}, {figure_text(found.figure)} {found.unit} (the best of {len(found.tried)}, kept in {args.source})"
    )
    return 0
