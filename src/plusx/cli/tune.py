"""plusx tune: the fastest engine, precision and batch size on this processor, measured and kept in the bundle."""

from __future__ import annotations

import argparse
import sys

from plusx.cli.printing import report, say
from plusx.i18n import _


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="BUNDLE", help=_("a bundle or a run"))
    add(
        "--objective",
        default="throughput",
        metavar="latency|throughput",
        help=_("what to optimise (default: throughput)"),
    )
    add("--threads", type=int, metavar="N", help=_("cores to use (default: all)"))
    add("--seconds", type=float, default=0.4, metavar="S", help=_("how long each candidate runs (default: 0.4)"))


def run(args: argparse.Namespace) -> int:
    from plusx.runtime.tuning import figure_text, tune

    found = tune(
        args.source,
        args.objective,
        seconds=args.seconds,
        threads=args.threads,
        say=report,
    )
    sys.stderr.flush()
    say(
        _(
            "chosen: {plan}, {figure} {unit} (the best of {n}, kept in {bundle})",
            plan=str(found.plan),
            figure=figure_text(found.figure),
            unit=found.unit,
            n=len(found.tried),
            bundle=args.source,
        )
    )
    return 0
