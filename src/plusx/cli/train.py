"""plusx train: from a line of text and a folder of images to a bundle."""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plusx.cli.data import add_columns
from plusx.cli.output import screen_width
from plusx.cli.printing import localized, warn
from plusx.errors import RunError, SpecError
from plusx.i18n import Message, _, duration
from plusx.text.alignment import paragraph, terminal_width

if TYPE_CHECKING:
    from plusx.cli.progress import TrainingLog
    from plusx.specs import ResNetSpec
    from plusx.training.events import Event, Finished
    from plusx.training.signals import Stop


_RECIPE_KEYS = ("epochs", "lr", "batch", "size")
"""Keys of the recipe that are options too, because they are changed most often."""
_FRESH = (
    "network",
    "recipe",
    *_RECIPE_KEYS,
    "out",
    "seed",
    "weights",
    "val_split",
    "minutes",
    "precision",
    "class_weights",
    "path_column",
    "label_column",
)
"""What a run keeps in run.json: a resumed run takes it from there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "network",
        nargs="*",
        metavar="NETWORK",
        help=_("words like resnet18 stem=3x3, a .toml or .json file, a bundle or a run"),
    )
    add(
        "--data",
        metavar="D",
        help=_(
            "digits, fashion-mnist, a folder of class folders (or of train/ and val/), IDX, CIFAR, Parquet or tar "
            "files, or a CSV list"
        ),
    )
    add(
        "--recipe",
        metavar="'NAME k=v …'",
        help=_(
            "a recipe and changes to it, like 'default flip=no ema=0.99'; without a name the data set's own; "
            "see plusx recipes for the keys"
        ),
    )
    add("--epochs", type=int, metavar="N", help=_("passes over the training images, in place of the recipe's"))
    add("--lr", type=float, metavar="LR", help=_("the peak learning rate, in place of the recipe's"))
    add("--batch", type=int, metavar="N", help=_("batch size, in place of the recipe's"))
    add("--size", type=int, metavar="PX", help=_("side of a training image in pixels, in place of the recipe's"))
    add("--out", metavar="DIR", help=_("directory of the run (default: runs/NETWORK-DATA-001 and so on)"))
    add(
        "--resume",
        metavar="RUN",
        help=_("resume an interrupted run; its result is the same as without the interruption"),
    )
    add("--weights", metavar="BUNDLE", help=_("start from the weights of a bundle or run"))
    add_columns(parser)
    add(
        "--val-split",
        type=float,
        metavar="F",
        help=_("share held out for validation where the data has no val/ (default: 0.2)"),
    )
    add("--seed", type=int, metavar="N", help=_("seed of initialisation, order and augmentation (default: 0)"))
    add("--minutes", type=float, metavar="M", help=_("train as many epochs as fit into this time"))
    add("--precision", choices=("auto", "fp32", "bf16"), help=_("number format, in place of the recipe's"))
    add(
        "--class-weights",
        choices=("none", "balanced"),
        help=_("balanced: rare classes weigh as much in the loss as common ones"),
    )
    add("--device", default="auto", metavar="auto|cpu|cuda|mps", help=_("what computes (default: auto)"))
    add("--threads", type=int, metavar="N", help=_("computing threads (default: all cores; one for tiny images)"))
    add(
        "--checkpoint-seconds",
        type=float,
        default=60,
        metavar="S",
        help=_("most seconds between two checkpoints (default: 60)"),
    )
    add("--workers", type=int, metavar="N", help=_("image-reading threads (default: one per core)"))


def run(args: argparse.Namespace) -> int:
    from plusx.cli.progress import IndexingProgress, training_log
    from plusx.training.fitting import fit, resume
    from plusx.training.signals import Stop
    from plusx.training.work import Hands
    from plusx.training.world import here, restarted

    stop = Stop()
    hands = Hands(
        args.device,
        args.threads,
        args.workers,
        stop,
        args.checkpoint_seconds,
        lang=args.lang,
        indexing=IndexingProgress(),
    )
    world = here(args.device)
    screen = training_log()
    warnings.showwarning = _one_line
    if args.resume is not None:
        again = [name for name in _FRESH if getattr(args, name) not in (None, [])]
        if again:
            raise SpecError(_not_beside_resume(args, again))
        return _work(resume(args.resume, args.data, hands=hands, sinks=(screen,)), stop, screen, world.first)
    if restarted() and world.from_first(_begun_by(sys.argv, args.out)):
        return _work(resume(args.out, args.data, hands=hands, sinks=(screen,)), stop, screen, world.first)
    if args.data is None:
        raise SpecError(_("plusx train needs images. Name them, like --data photos/ or --data digits."))
    events = fit(
        _network(args.network),
        args.data,
        recipe_text(args),
        args.out,
        seed=args.seed if args.seed is not None else 0,
        weights=args.weights,
        val_split=args.val_split if args.val_split is not None else 0.2,
        minutes=args.minutes,
        precision=args.precision,
        class_weights=args.class_weights,
        path_column=args.path_column,
        label_column=args.label_column,
        hands=hands,
        sinks=(screen,),
        command=sys.argv,
    )
    return _work(events, stop, screen, world.first)


def _not_beside_resume(args: argparse.Namespace, names: list[str]) -> Message:
    """What to type instead of --resume beside what makes a run; with a recipe, training on from the run's weights."""
    options = ", ".join("NETWORK" if name == "network" else f"--{name.replace('_', '-')}" for name in names)
    recipe = recipe_text(args)
    if recipe is None:
        return _(
            "--resume {run} takes {options} from the run itself. Leave them out.", run=args.resume, options=options
        )
    from plusx.bundles import read_run
    from plusx.training.work import train_on

    command = train_on(args.resume, args.data or read_run(args.resume).data.path, recipe)
    return _(
        "--resume {run} takes {options} from the run itself. Leave them out, or train on from its weights: {command}",
        run=args.resume, options=options, command=command,
    )  # fmt: skip


def recipe_text(args: argparse.Namespace) -> str | None:
    """What --recipe says, and --epochs, --lr, --batch and --size behind it. Raises SpecError where both name a key."""
    said = {word.partition("=")[0] for word in (args.recipe or "").split()}
    words: list[str] = []
    for key in (*_RECIPE_KEYS, "precision", "class_weights"):
        value = getattr(args, key)
        if value is None:
            continue
        if key in said:
            option = f"--{key.replace('_', '-')} {value}"
            raise SpecError(
                _(
                    "{option} and {key}= in --recipe {recipe!r} set the same value. Remove one of them.",
                    option=option,
                    key=key,
                    recipe=args.recipe,
                )
            )
        if key in _RECIPE_KEYS:
            words.append(f"{key}={value}")
    return " ".join([*([] if args.recipe is None else [args.recipe]), *words]) or None


def _begun_by(command: list[str], out: str | None) -> bool:
    """Whether this very command started the run at `out`: then torchrun's restart resumes it."""
    from plusx.bundles import read_run

    return out is not None and Path(out, "run.json").is_file() and list(read_run(out).command) == command


def _network(words: list[str]) -> str | ResNetSpec | None:
    """The words as they were written (so that a written classes= is known as such), or what a file or bundle holds."""
    from plusx.cli.networks import read_network

    if not words:
        return None
    return read_network(words) if Path(words[0]).exists() else " ".join(words)


def _work(events: Iterator[Event], stop: Stop, screen: TrainingLog, speaks: bool) -> int:
    from plusx.training.events import Finished
    from plusx.training.signals import stop_on_signals

    finished: Finished | None = None
    try:
        with stop_on_signals(stop):
            for event in events:
                if isinstance(event, Finished):
                    finished = event
    finally:
        screen.close()
    if finished is None:
        raise RunError(_("Training ended without a result. Run it again with --debug."))
    interrupted = finished.reason not in ("done", "early stop")
    if speaks and interrupted:
        _tell_how_to_resume(finished)
    elif speaks:
        _print_result(finished, screen)
    return 128 + (stop.signal or 0) if interrupted else 0


def _tell_how_to_resume(finished: Finished) -> None:
    if not finished.run.exists():
        warn(_("Training was stopped before the first step. Nothing was written."))
        return
    warn(
        _(
            "Training was stopped by {reason} after step {step}. Everything is saved. Resume it with:",
            reason=finished.reason,
            step=finished.step,
        )
    )
    print(f"plusx train --resume {shlex.quote(str(finished.run))}", file=sys.stderr)


def _print_result(finished: Finished, screen: TrainingLog) -> None:
    """stdout: the run, its bundle and accuracy, and the next command."""
    from plusx.metrics import wilson

    rows: list[tuple[Message, str]] = [(_("run"), str(finished.run))]
    if finished.kept is not None and finished.bundle is not None:
        n, top1, epoch = finished.kept["n"], finished.kept["top1"], finished.kept["epoch"]
        correct = round(n * top1)
        low, high = wilson(correct, n) or (0.0, 1.0)
        accuracy = _(
            "{top1:.2%} on validation ({correct} of {n}; 95 %: {low:.1%} to {high:.1%}), epoch {epoch} of {epochs}",
            top1=top1, correct=correct, n=n, low=low, high=high, epoch=epoch, epochs=finished.epoch,
        )  # fmt: skip
        if finished.reason == "early stop":
            accuracy = _("{accuracy}, stopped early", accuracy=accuracy)
        rows += [(_("bundle"), str(finished.bundle)), (_("accuracy"), accuracy)]
    if (finished.run / "report.html").is_file():
        rows.append((_("report"), str(finished.run / "report.html")))
    rows.append((_("time"), duration(finished.seconds)))
    if screen.written:
        rows.append((_("saved"), screen.saved()))
    rows.append((_("next"), f"plusx predict {shlex.quote(str(finished.run))} IMAGE …"))
    width = screen_width()
    for name, text in rows:
        first = localized(name)
        print("\n".join(paragraph(localized(text), width, " " * 10, first + " " * (10 - terminal_width(first)))))


def _one_line(message: Warning | str, *_: object) -> None:
    warn(message if isinstance(message, str) else str(message))
