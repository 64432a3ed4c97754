"""plusx tune: the fastest engine, precision and batch on this processor, measured and stored in the bundle."""

from __future__ import annotations

import argparse
import sys

from plusx.cli.languages import language
from plusx.i18n import _, translate


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

    lang = language(args.lang)
    found = tune(
        args.source,
        args.objective,
        seconds=args.seconds,
        threads=args.threads,
        log=lambda line: print(translate(line, lang), file=sys.stderr),
    )
    sys.stderr.flush()
    chosen = _(
        "chosen: {plan}, {figure} {unit} (the best of {n}, stored in {path})",
        plan=found.plan.text(), figure=figure_text(found.figure), unit=found.unit, n=len(found.tried), path=args.source,
    )  # fmt: skip
    print(translate(chosen, lang))
    return 0
