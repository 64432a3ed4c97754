"""plusx train: from a line of text and a folder of images to a bundle."""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from plusx.cli.data import add_columns
from plusx.cli.networks import add_key
from plusx.cli.output import screen_width
from plusx.cli.parser import Parser
from plusx.cli.printing import localized, note, warn
from plusx.errors import RunError, SpecError
from plusx.i18n import Message, _, duration
from plusx.text.alignment import paragraph, terminal_width

if TYPE_CHECKING:
    from plusx.bundles import Bundle
    from plusx.cli.progress import TrainingLog
    from plusx.specs import ResNetSpec
    from plusx.training.events import Event, Finished
    from plusx.training.signals import Stop


_RECIPE_KEYS = ("epochs", "lr", "batch", "size", "freeze", "head", "precision", "class_weights")
"""Keys of the recipe that are options too, because they are changed most often."""
_RUN_OPTIONS = ("seed", "weights", "preprocessing", "val_split", "minutes", "path_column", "label_column")
_FRESH = ("network", "recipe", *_RECIPE_KEYS, "find_lr", "profile", "out", *_RUN_OPTIONS, "key")
"""What a run keeps in run.json: a resumed run takes it from there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "network",
        nargs="*",
        metavar="NETWORK",
        help=_("words like resnet18 stem=3x3, a .toml or .json file, a bundle, a run or a weights file"),
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
            "a recipe and changes to it, like 'default flip=no ema=0.99'; without a name auto where there are "
            "--weights, else the data set's own; see plusx recipes"
        ),
    )
    add("--epochs", type=int, metavar="N", help=_("passes over the training images, in place of the recipe's"))
    add("--lr", type=float, metavar="LR", help=_("the peak learning rate, in place of the recipe's"))
    add("--batch", type=int, metavar="N", help=_("batch size, in place of the recipe's"))
    add("--size", type=int, metavar="PX", help=_("side of a training image in pixels, in place of the recipe's"))
    add(
        "--find-lr",
        action="store_const",
        const=True,
        help=_("try learning rates from 1e-6 to 10 in 141 steps, suggest one and draw a chart; trains nothing"),
    )
    add(
        "--profile",
        action="store_const",
        const=True,
        help=_("measure where the time of a step goes, print a table and write a trace; trains nothing"),
    )
    add("--out", metavar="DIR", help=_("directory of the run (default: runs/NETWORK-DATA-001 and so on)"))
    add(
        "--resume",
        metavar="RUN",
        help=_("resume an interrupted run; its result is the same as without the interruption"),
    )
    add(
        "--weights",
        metavar="SOURCE",
        help=_("start from weights: a name like imagenet (plusx weights list), a file, a bundle or a run"),
    )
    add_key(parser)
    add(
        "--preprocessing",
        metavar="NAME|FILE",
        help=_("how the images of --weights are prepared, if they do not say it: imagenet, … or a JSON file"),
    )
    add("--freeze", metavar="PART", help=_("keep the weights up to and including a part, like layer3"))
    add(
        "--head",
        choices=("auto", "keep", "new", "probe"),
        help=_("the first classifier: that of --weights, a random one, or a probe on frozen features"),
    )
    add_columns(parser)
    add(
        "--val-split",
        type=float,
        metavar="F",
        help=_("share held out for validation where the data has no val/ (default: 0.2)"),
    )
    add("--seed", type=int, metavar="N", help=_("seed of initialisation, order and augmentation (default: 0)"))
    add(
        "--minutes",
        type=float,
        metavar="M",
        help=_("train as many epochs as fit into this time; with recipe auto, all stages together (default there: 10)"),
    )
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
    add(
        "--log", choices=("tensorboard",), help=_("also write the curves for another program, into the run's directory")
    )
    add("--workers", type=int, metavar="N", help=_("image-reading threads (default: one per core)"))
    if isinstance(parser, Parser):
        parser.answer = _key_of_recipe


def _key_of_recipe(words: Sequence[str]) -> Message | None:
    """What to write for an option that is a key of a recipe, or another library's name of one."""
    from plusx.training.recipe_keys import RECIPE, RENAMED

    option, _equals, value = words[0].partition("=")
    if not option.startswith("--"):
        return None
    value = value or next(iter(words[1:2]), "")
    name = option.removeprefix("--").lower().replace("-", "_")
    name = RECIPE.spellings.get(name, name)
    key = name if name in RECIPE.keys else RENAMED.get(name)
    if key is None:
        return None
    value = value if value and not value.startswith("-") else RECIPE.keys[key].allowed.split(", ")[0]
    word = shlex.quote(value)
    if key in _RECIPE_KEYS:
        return _("{option} is written --{key} in plusx. Write --{key} {value}.",
                 option=option, key=key.replace("_", "-"), value=word)  # fmt: skip
    return _("{option} is a key of the recipe. Write --recipe {words}.", option=option, words=f"{key}={word}")


def run(args: argparse.Namespace) -> int:
    """Train. Nobody who reads the output, or no longer does, ends it."""
    from plusx.cli.streams import unstoppable_output

    with unstoppable_output() as (_stdout, stderr):
        return _train(args, stderr)


def _train(args: argparse.Namespace, stderr: TextIO) -> int:
    from plusx.cli.progress import FeatureProgress, IndexingProgress, training_log
    from plusx.training.api import fit, resume
    from plusx.training.distributed import process_group
    from plusx.training.options import RunOptions
    from plusx.training.restarts import begun_before
    from plusx.training.signals import Stop

    stop = Stop()
    options = RunOptions(
        device=args.device,
        threads=args.threads,
        workers=args.workers,
        stop=stop,
        checkpoint_seconds=args.checkpoint_seconds,
        lang=args.lang,
        log=args.log,
        on_index=IndexingProgress(),
        on_vectors=FeatureProgress(),
    )
    group = process_group(args.device)
    screen = training_log(stderr)
    warnings.showwarning = _one_line
    if args.resume is not None:
        again = [name for name in _FRESH if getattr(args, name) not in (None, [])]
        if again:
            raise SpecError(_not_beside_resume(args, again))
        return _work(resume(args.resume, options, data=args.data, sinks=(screen,)), stop, screen, group.is_rank0)
    begun = None if args.find_lr or args.profile else begun_before(sys.argv, args.out, group)
    if begun is not None:
        return _work(resume(begun, options, data=args.data, sinks=(screen,)), stop, screen, group.is_rank0)
    if args.find_lr and args.profile:
        raise SpecError(_("--find-lr and --profile are two tests. Name one of them."))
    if args.data is None:
        raise SpecError(_("plusx train needs images. Name them, like --data photos/ or --data digits."))
    network = _network(args, group.is_rank0)
    asked = {name: getattr(args, name) for name in _RUN_OPTIONS if getattr(args, name) is not None}
    if args.weights is not None:
        asked["weights"] = _first_weights(args, network, group.is_rank0)
        asked.pop("preprocessing", None)  # the weights are opened with it
    options = replace(options, command=sys.argv, **asked)
    if args.find_lr:
        from plusx.cli.find_lr import find_and_print

        return find_and_print(network, args.data, recipe_text(args), args.out, options, args.lang)
    if args.profile:
        from plusx.cli.profile import profile_and_print

        return profile_and_print(network, args.data, recipe_text(args), args.out, options)
    events = fit(network, args.data, recipe_text(args), args.out, options, sinks=(screen,))
    return _work(events, stop, screen, group.is_rank0)


def _not_beside_resume(args: argparse.Namespace, names: list[str]) -> Message:
    """What to type instead of --resume beside what makes a run; with a recipe, training on from the run's weights."""
    options = ", ".join("NETWORK" if name == "network" else f"--{name.replace('_', '-')}" for name in names)
    recipe = recipe_text(args)
    if recipe is None:
        return _(
            "--resume {run} takes {options} from the run itself. Leave them out.", run=args.resume, options=options
        )
    from plusx.bundles import read_run
    from plusx.training.naming import new_run_command

    command = new_run_command(args.resume, args.data or read_run(args.resume).data.path, recipe)
    return _(
        "--resume {run} takes {options} from the run itself. Leave them out, or train on from its weights: {command}",
        run=args.resume, options=options, command=command,
    )  # fmt: skip


def recipe_text(args: argparse.Namespace) -> str | None:
    """What --recipe says, then the options that are keys of the recipe. Raises SpecError where both name a key."""
    said = {word.partition("=")[0] for word in (args.recipe or "").split()}
    words: list[str] = []
    for key in _RECIPE_KEYS:
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
        words.append(f"{key}={value}")
    return " ".join([*([] if args.recipe is None else [args.recipe]), *words]) or None


def _network(args: argparse.Namespace, speaks: bool) -> str | ResNetSpec | None:
    """The words as they were written (so that a written classes= is known as such), or what a file or bundle holds."""
    from plusx.cli.networks import read_network
    from plusx.specs import ResNetSpec
    from plusx.weights.hub.recognising import is_name

    words: list[str] = args.network
    if not words:
        return None
    if not Path(words[0]).exists() and not is_name(words[0]):
        return " ".join(words)
    spec = read_network(words, None if Path(words[0]).is_dir() else args.key, quiet=not speaks)
    if Path(words[0]).suffix in (".toml", ".json"):
        return spec
    if args.weights is None and speaks:
        note(_("only the network of {source} is taken. --weights {source} takes its weights too.", source=words[0]))
    if spec.until is None:
        spec = spec.replace(classes=ResNetSpec().classes)  # those of the data, as where no word says any
    return spec


def _first_weights(args: argparse.Namespace, network: str | ResNetSpec | None, speaks: bool) -> str | Bundle:
    """What --weights names, a file opened; what it does not tell of itself is taken from NETWORK."""
    from plusx.specs import parse
    from plusx.weights.opening import open_first_weights

    if args.key is None and args.preprocessing is None and Path(args.weights).is_dir():
        return args.weights
    spec = parse(network) if isinstance(network, str) else network
    said = note if speaks else _quiet
    return open_first_weights(args.weights, spec, preprocessing=args.preprocessing, key=args.key, say=said)


def _quiet(line: str) -> None:
    """What the process of rank 0 says already."""


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
        with suppress(OSError, ValueError):  # the terminal was closed
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
    stage = None if finished.kept is None else finished.kept.get("stage")
    if stage is not None:
        values = {"reason": finished.reason, "stage": stage, "bundle": finished.bundle}
        text = _(
            "Training was stopped by {reason}. The best network so far, of {stage}, is in {bundle}. Resume with:",
            **values,
        )
    else:
        text = _(
            "Training was stopped by {reason} after step {step}. Everything is saved. Resume it with:",
            reason=finished.reason, step=finished.step,
        )  # fmt: skip
    warn(text)
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
            "{top1:.2%} on validation ({correct} of {n}; 95 %: {low:.1%} to {high:.1%})",
            top1=top1, correct=correct, n=n, low=low, high=high,
        )  # fmt: skip
        if "stage" in finished.kept:
            accuracy = _("{accuracy}, from {stage}", accuracy=accuracy, stage=finished.kept["stage"])
        else:
            accuracy = _("{accuracy}, epoch {epoch} of {epochs}", accuracy=accuracy, epoch=epoch, epochs=finished.epoch)
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
