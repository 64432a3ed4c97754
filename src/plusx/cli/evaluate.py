"""plusx evaluate: how good a bundle or run is, on images it has not learnt from."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from plusx.cli.data import add_columns
from plusx.cli.networks import add_source, open_source
from plusx.cli.output import add_output, choose_format, emit

if TYPE_CHECKING:
    from plusx.metrics import Evaluation

SUMMARY = "measure a trained network on images"
FORMATS = ("table", "json")
MOST_CLASSES, MOST_PAIRS, MOST_LETTERS = 16, 10, 8
"""What --confusion shows: classes in the matrix, pairs below it, letters of a column's head."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_source(parser)
    add(
        "--data",
        required=True,
        metavar="D",
        help="as for plusx train; of the run's own data only the held-out share counts",
    )
    add_columns(parser)
    add(
        "--weights",
        default="best",
        metavar="best|last|ema",
        help="the bundle's, or the last or averaged ones of the run's newest checkpoint (default: best)",
    )
    add("--confusion", action="store_true", help="show what is mistaken for what as well; json always has it")
    add("--skip-bad", action="store_true", help="leave out images that cannot be read, instead of refusing")
    add("--exact-decode", action="store_true", help="decode JPEGs at full size, then resize, as predict can")
    add("--device", default="auto", metavar="auto|cpu|cuda|mps")
    add("--threads", type=int, metavar="N", help="threads that compute (default: as in training)")
    add("--workers", type=int, metavar="N", help="threads that read images (default: one a core)")
    add("--format", choices=FORMATS, help="default: as FILE ends, else table")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    form = choose_format(args.format, args.output, FORMATS)
    from plusx.bundles import open_weights
    from plusx.cli.progress import Indexing
    from plusx.runtime.processor import cores
    from plusx.training.evaluation import evaluate
    from plusx.training.held_out import open_held_out
    from plusx.training.world import here

    world = here(args.device)
    say = _note if world.first else _nothing
    quiet = not world.first
    source = args.source if args.weights != "best" else world.together(lambda: open_source(args, quiet=quiet))
    bundle, _ = world.together(lambda: open_weights(source, args.weights, on_damage=say))
    indexing = Indexing() if world.first else None
    data, own = world.first_then_others(
        lambda: open_held_out(
            args.data,
            bundle,
            skip_bad=args.skip_bad,
            progress=indexing,
            path_column=args.path_column,
            label_column=args.label_column,
        )
    )
    data = replace(data, exact=args.exact_decode)
    for row in data.skipped if world.first else ():
        print(f"skipped {row.path}: {row.reason}", file=sys.stderr)
    for note in data.notes:
        say(note)
    if own:
        say(f"the {len(data):,} images of {args.data} that the training held out")
    step = bundle.provenance.step
    if args.weights != "best":
        say(f"{args.weights} weights, after step {step}")
    found = evaluate(
        source,
        data,
        weights=args.weights,
        device=args.device,
        threads=args.threads,
        workers=args.workers if args.workers is not None else max(1, cores() // world.local),
    )
    if not world.first:
        return 0
    if form == "table":
        lines = table(found, len(data.skipped)) + (confusion_table(found) if args.confusion else [])
        return emit("\n".join(lines) + "\n", args.output)
    head = {"schema": "plusx.evaluation/1", "source": args.source, "weights": args.weights, "step": step}
    head |= {"data": args.data, "held_out": own}
    skipped = [{"path": row.path, "reason": row.reason} for row in data.skipped]
    return emit(json.dumps({**head, **found.to_dict(), "skipped": skipped}, ensure_ascii=False) + "\n", args.output)


def _nothing(line: str) -> None:
    """What the other processes say."""


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def table(found: Evaluation, skipped: int) -> list[str]:
    """The lines of the human form: shares with their intervals, then a line a class."""
    from plusx.text.alignment import aligned

    lines = [f"top-1     {_percent(found.top1)}  {found.correct} of {found.n}; 95 %: {_interval(found.interval)}"]
    if found.top5 is not None:
        lines.append(f"top-5     {_percent(found.top5)}  {found.correct5} of {found.n}")
    lines.append(f"nll       {found.nll:.4f}" if found.nll is not None else "nll       unknown: no images")
    lines.append(f"ece       {found.ece:.4f}" if found.ece is not None else "ece       unknown: no images")
    if skipped:
        lines.append(f"skipped   {skipped}")
    rows = [
        [
            row.name,
            f"{row.n:,}",
            f"{row.correct:,}",
            _percent(row.correct / row.n if row.n else None),
            _interval(row.interval),
        ]
        for row in found.per_class
    ]
    return [*lines, "", *aligned(["class", "n", "correct", "share", "95 %"], rows, [False, True, True, True, False])]


def confusion_table(found: Evaluation) -> list[str]:
    """Rows are true classes, columns answers; of many classes only those with mistakes. Then the worst pairs."""
    from plusx.metrics import confused, erring
    from plusx.text.alignment import aligned

    names = [row.name for row in found.per_class]
    pairs = confused(found.confusion, names, MOST_PAIRS)
    if not pairs:
        return ["", "no mistakes"]
    shown, head = [*range(len(names))], "true \\ answer"
    if len(names) > MOST_CLASSES:
        shown = erring(found.confusion, MOST_CLASSES).tolist()
        head += f", {len(shown)} of {len(names)} classes: those with most mistakes"
    rows = [[names[i], *(str(found.confusion[i, j] or "·") for j in shown)] for i in shown]
    lines = aligned(["", *(_cut(names[j]) for j in shown)], rows, [False, *(True for _ in shown)])
    worst = [f"{pair.true} as {pair.answer}: {pair.times:,} ({pair.share:.1%} of {pair.true})" for pair in pairs]
    return ["", head, *lines, "", "most mistaken", *worst]


def _cut(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _interval(edges: tuple[float, float] | None) -> str:
    return "unknown" if edges is None else f"{edges[0]:.1%} to {edges[1]:.1%}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:7.2%}"
