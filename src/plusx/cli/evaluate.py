"""plusx evaluate: the accuracy of a bundle or run on images that it was not trained on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from plusx.cli.data import add_columns
from plusx.cli.networks import add_source, open_source
from plusx.cli.output import add_output, choose_format, emit, screen_width
from plusx.cli.printing import localized, note, report
from plusx.files import json_text
from plusx.i18n import Message, _
from plusx.text.alignment import aligned, fitted, hidden_note, paragraph, terminal_width

if TYPE_CHECKING:
    from plusx.evaluation.counting import Processes
    from plusx.metrics import Evaluation

FORMATS = ("table", "json")
MOST_CLASSES, MOST_PAIRS, MOST_LETTERS = 16, 10, 8
"""What --confusion shows: classes in the matrix, pairs below it, letters of a column's heading."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_source(parser)
    add(
        "--data",
        required=True,
        metavar="D",
        help=_("as for plusx train; of the run's own data only the held-out images are evaluated"),
    )
    add_columns(parser)
    add(
        "--weights",
        default="best",
        metavar="best|last|ema",
        help=_("best: the bundle's; last, ema: those of the run's newest checkpoint (default: best)"),
    )
    add("--confusion", action="store_true", help=_("show the confusion matrix too; json always has it"))
    add("--skip-bad", action="store_true", help=_("skip images that cannot be read instead of refusing the data"))
    add(
        "--exact-decode",
        action="store_true",
        help=_("decode JPEGs at full size, then resize, as predict --exact-decode"),
    )
    add(
        "--engine",
        default="auto",
        metavar="openvino|onnxruntime|torch",
        help=_("what computes the network (default: torch, as in training, where it is installed)"),
    )
    add("--precision", default="auto", metavar="fp32|bf16|int8", help=_("number format of the engine (default: fp32)"))
    add("--device", default="auto", metavar="auto|cpu|cuda|mps", help=_("what computes (default: auto)"))
    add("--threads", type=int, metavar="N", help=_("computing threads (default: as in training)"))
    add("--workers", type=int, metavar="N", help=_("image-reading threads (default: one per core)"))
    add("--format", choices=FORMATS, help=_("default: by the ending of FILE, else table"))
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    form = choose_format(args.format, args.output, FORMATS)
    from plusx.cli.progress import IndexingProgress
    from plusx.evaluation import evaluate, open_held_out
    from plusx.evaluation import open_source as with_weights
    from plusx.evaluation.evaluating import evaluation_plan
    from plusx.runtime.engines import EngineOptions
    from plusx.runtime.processor import cores

    options = EngineOptions(args.engine, args.precision, threads=args.threads, device=args.device)
    group = _processes(args.device)
    say = note if group.is_rank0 else _nothing
    source = args.source
    if args.weights == "best":  # last and ema are a run's
        source = group.run_on_all_ranks(lambda: open_source(args, quiet=not group.is_rank0))
    bundle = group.run_on_all_ranks(lambda: with_weights(source, args.weights, on_damage=say))
    plan = group.run_on_all_ranks(lambda: evaluation_plan(bundle, options))
    indexing = IndexingProgress() if group.is_rank0 else None
    data, own = group.rank0_then_others(
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
    for row in data.skipped if group.is_rank0 else ():
        report(_("skipped {path}: {reason}", path=row.path, reason=localized(row.reason)))
    for text in data.notes:
        say(text)
    if own:
        say(_("evaluated on the {n:,} images of {data} that the training held out", n=len(data), data=args.data))
    step = bundle.provenance.step
    if args.weights != "best":
        say(_("{weights} weights, after step {step}", weights=args.weights, step=step))
    if (args.engine, args.precision) != ("auto", "auto"):
        say(_("computed by {engine} in {precision}", engine=plan.engine, precision=plan.precision))
    workers = args.workers if args.workers is not None else max(1, cores() // group.local_world_size)
    found = evaluate(bundle, data, options=options, workers=workers, group=group)
    if not group.is_rank0:
        return 0
    if form == "table":
        width = screen_width(args.output)
        lines = table(found, len(data.skipped), width) + (confusion_table(found, width) if args.confusion else [])
        return emit("\n".join(lines) + "\n", args.output)
    head = {"schema": "plusx.evaluation/1", "source": args.source, "weights": args.weights, "step": step}
    head |= {"data": args.data, "held_out": own, "engine": plan.engine, "precision": plan.precision}
    skipped = [{"path": row.path, "reason": row.reason} for row in data.skipped]
    return emit(json_text({**head, **found.to_dict(), "skipped": skipped}) + "\n", args.output)


def _processes(device: str) -> Processes:
    """torchrun's process group; this process alone where torch is not installed."""
    from plusx.evaluation.counting import OneProcess
    from plusx.runtime.engines import installed

    if not installed("torch"):
        return OneProcess()
    from plusx.training.distributed import process_group

    return process_group(device)


def _nothing(line: str) -> None:
    """The notes of the processes that are not rank 0."""


def table(found: Evaluation, skipped: int, width: int | None = None) -> list[str]:
    """The lines of the human form: shares with their intervals, then a line a class."""
    none = _("unknown: no images")
    of = {"correct": found.correct, "n": found.n, "interval": _interval(found.interval)}
    rows = [("top-1", _percent(found.top1), localized(_("{correct} of {n}; 95 %: {interval}", **of)))]
    if found.top5 is not None:
        rows.append(
            ("top-5", _percent(found.top5), localized(_("{correct} of {n}", correct=found.correct5, n=found.n)))
        )
    rows.append(("nll", localized(none) if found.nll is None else f"{found.nll:.4f}", ""))
    rows.append(("ece", localized(none) if found.ece is None else f"{found.ece:.4f}", ""))
    if skipped:
        rows.append((localized(_("skipped")), str(skipped), ""))
    lines = [f"{name}{' ' * (10 - terminal_width(name))}{value}  {more}".rstrip() for name, value, more in rows]
    heads = [_("class"), _("n"), _("correct"), _("accuracy"), _("95 %")]
    cells = [
        [
            row.name,
            f"{row.n:,}",
            f"{row.correct:,}",
            _percent(row.correct / row.n if row.n else None),
            localized(_interval(row.interval)),
        ]
        for row in found.per_class
    ]
    right = [False, True, True, True, False]
    classes, hidden = fitted([*map(localized, heads)], cells, right, width, drop=(2, 4), wrap=(0,))
    return [*lines, "", *classes, *map(localized, hidden_note(heads, hidden))]


def confusion_table(found: Evaluation, width: int | None = None) -> list[str]:
    """Rows are true classes, columns predictions; of many classes, or on a narrow terminal, only those with most mistakes.

    Then the most frequent mistakes.
    """
    from plusx.metrics import confused_pairs

    names = [row.name for row in found.per_class]
    pairs = confused_pairs(found.confusion, names, MOST_PAIRS)
    if not pairs:
        return ["", localized(_("no mistakes"))]
    worst = [
        _(
            "{true} as {predicted}: {n:,} ({share:.1%} of {true})",
            true=p.true,
            predicted=p.predicted,
            n=p.n,
            share=p.share,
        )
        for p in pairs
    ]
    lines = [part for text in worst for part in paragraph(localized(text), width, "  ", "")]
    return ["", *_matrix(found, names, width), "", localized(_("most frequent mistakes")), *lines]


def _matrix(found: Evaluation, names: list[str], width: int | None) -> list[str]:
    """The confusion matrix with a line above it, of as many classes as there is room for."""
    most = min(len(names), MOST_CLASSES)
    shown, lines = _matrix_of(found, names, most)
    while width is not None and most > 1 and max(map(terminal_width, lines)) > width:
        most -= 1
        shown, lines = _matrix_of(found, names, most)
    head = _("true \\ predicted")
    if shown < len(names):
        head = _("{head}, {n} of {all} classes: those with most mistakes", head=head, n=shown, all=len(names))
    return [localized(head), *lines]


def _matrix_of(found: Evaluation, names: list[str], most: int) -> tuple[int, list[str]]:
    """How many classes are shown, at most `most`, and the lines of their matrix."""
    from plusx.metrics import most_confused

    shown = [*range(len(names))] if most == len(names) else most_confused(found.confusion, most).tolist()
    rows = [[names[i], *(str(found.confusion[i, j] or "·") for j in shown)] for i in shown]
    lines = aligned(["", *(_cut(names[j]) for j in shown)], rows, [False, *(True for _column in shown)])
    return len(shown), lines


def _cut(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _interval(edges: tuple[float, float] | None) -> Message:
    if edges is None:
        return _("unknown")
    return _("{low:.1%} to {high:.1%}", low=edges[0], high=edges[1])


def _percent(share: float | None) -> str:
    return localized(_("unknown")) if share is None else f"{share:7.2%}"
