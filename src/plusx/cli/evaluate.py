"""plusx evaluate: how good a bundle or run is, on pictures it has not learnt from."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from plusx.cli.output import add_output, emit

if TYPE_CHECKING:
    from plusx.metrics import Evaluation

SUMMARY = "measure a trained network on pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a bundle or a run")
    add(
        "--data",
        required=True,
        metavar="D",
        help="as for plusx train; of the run's own data only the held-out share counts",
    )
    add("--skip-bad", action="store_true", help="leave out pictures that cannot be read, instead of refusing")
    add("--exact-decode", action="store_true", help="decode JPEGs at full size, then resize, as predict can")
    add("--device", default="auto", metavar="auto|cpu|cuda|mps")
    add("--threads", type=int, metavar="N", help="threads that compute (default: as in training)")
    add("--workers", type=int, metavar="N", help="threads that read pictures (default: one a core)")
    add("--format", choices=("table", "json"), default="table")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    from plusx.bundles import open_bundle
    from plusx.cli.progress import Indexing
    from plusx.data.exact import exact
    from plusx.runtime.processor import cores
    from plusx.training.evaluation import evaluate
    from plusx.training.held_out import open_held_out

    bundle = open_bundle(args.source)
    data, own = open_held_out(args.data, bundle, skip_bad=args.skip_bad, progress=Indexing())
    if args.exact_decode:
        data = exact(data)
    for row in data.skipped:
        print(f"skipped {row.path}: {row.reason}", file=sys.stderr)
    if own:
        print(f"note: the {len(data):,} pictures of {args.data} that the training held out", file=sys.stderr)
    found = evaluate(
        args.source,
        data,
        device=args.device,
        threads=args.threads,
        workers=args.workers if args.workers is not None else cores(),
    )
    if args.format == "table":
        return emit("\n".join(table(found, len(data.skipped))) + "\n", args.output)
    head = {"schema": "plusx.evaluation/1", "source": args.source, "data": args.data, "held_out": own}
    skipped = [{"path": row.path, "reason": row.reason} for row in data.skipped]
    return emit(json.dumps({**head, **found.to_dict(), "skipped": skipped}, ensure_ascii=False) + "\n", args.output)


def table(found: Evaluation, skipped: int) -> list[str]:
    """The lines of the human form: shares with their interval, then a line a class."""
    low, high = found.interval or (0.0, 1.0)
    lines = [f"top-1     {_percent(found.top1)}  {found.correct} of {found.n}; 95 %: {low:.1%} to {high:.1%}"]
    if found.top5 is not None:
        lines.append(f"top-5     {_percent(found.top5)}  {found.correct5} of {found.n}")
    lines.append(f"nll       {found.nll:.4f}" if found.nll is not None else "nll       unknown: no pictures")
    lines.append(f"ece       {found.ece:.4f}" if found.ece is not None else "ece       unknown: no pictures")
    if skipped:
        lines.append(f"skipped   {skipped}")
    width = max(len("class"), *(len(row.name) for row in found.per_class))
    lines += ["", f"{'class':<{width}}  {'n':>7}  {'correct':>7}  share"]
    for row in found.per_class:
        lines.append(
            f"{row.name:<{width}}  {row.n:>7,}  {row.correct:>7,}  {_percent(row.correct / row.n if row.n else None)}"
        )
    return lines


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:7.2%}"
