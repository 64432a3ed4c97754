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
from plusx.cli.networks import add_key
from plusx.errors import RunError, SpecError
from plusx.i18n import _

if TYPE_CHECKING:
    from plusx.bundles import Bundle
    from plusx.cli.progress import Lines
    from plusx.specs import ResNetSpec
    from plusx.training.events import Event, Finished
    from plusx.training.signals import Stop

SUMMARY = "train a network on images"

_RECIPE_KEYS = ("epochs", "lr", "batch", "size")
"""Keys of the recipe that are options as well, because people type them so."""
_FRESH = (
    "network",
    "recipe",
    *_RECIPE_KEYS,
    "out",
    "seed",
    "weights",
    "key",
    "val_split",
    "minutes",
    "precision",
    "class_weights",
    "path_column",
    "label_column",
)
"""What makes a run what it is, so it cannot be said again when one is resumed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "network",
        nargs="*",
        metavar="NETWORK",
        help="words like resnet18 stem=3x3, a .toml or .json file, a bundle or a run",
    )
    add(
        "--data",
        metavar="D",
        help="digits, fashion-mnist, a folder of class folders (or of train/ and val/), IDX, CIFAR, Parquet or tar "
        "files, or a CSV list",
    )
    add(
        "--recipe",
        metavar="'NAME k=v …'",
        help="a recipe and changes to it, e.g. 'default flip=no ema=0.99'; without a name the data's own; "
        "plusx recipes explains the keys",
    )
    add("--epochs", type=int, metavar="N", help="how often every image is seen, in place of the recipe's")
    add("--lr", type=float, metavar="LR", help="the highest learning rate, in place of the recipe's")
    add("--batch", type=int, metavar="N", help="images a step, in place of the recipe's")
    add("--size", type=int, metavar="PX", help="side of a training image, in place of the recipe's")
    add("--out", metavar="DIR", help="the run's directory; default runs/NETWORK-DATA-001 and so on")
    add("--resume", metavar="RUN", help="go on with an interrupted run, as if nothing had happened")
    add("--weights", metavar="W", help=_("start from a bundle, a run or a weights file of any family"))
    add_key(parser)
    add_columns(parser)
    add("--val-split", type=float, metavar="F", help="share held out where the data has no val/ (default 0.2)")
    add("--seed", type=int, metavar="N", help="the seed of everything random (default 0)")
    add("--minutes", type=float, metavar="M", help="train as many epochs as fit into M minutes")
    add("--precision", choices=("auto", "fp32", "bf16"), help="number format, in place of the recipe's")
    add("--class-weights", choices=("none", "balanced"), help="balanced: rare classes count as much as common ones")
    add("--device", default="auto", metavar="auto|cpu|cuda|mps")
    add("--threads", type=int, metavar="N", help="threads that compute (default: all cores; one for tiny images)")
    add("--checkpoint-seconds", type=float, default=60, metavar="S", help="a checkpoint at least so often (default 60)")
    add("--workers", type=int, metavar="N", help="threads that read images (default: one a core)")


def run(args: argparse.Namespace) -> int:
    from plusx.cli.progress import Indexing, sink_for
    from plusx.training.fitting import fit, resume
    from plusx.training.signals import Stop
    from plusx.training.work import Hands
    from plusx.training.world import here, restarted

    stop = Stop()
    hands = Hands(
        args.device, args.threads, args.workers, stop, args.checkpoint_seconds, lang=args.lang, indexing=Indexing()
    )
    world = here(args.device)
    screen = sink_for()
    warnings.showwarning = _one_line
    if args.resume is not None:
        again = [name for name in _FRESH if getattr(args, name) not in (None, [])]
        if again:
            words = ", ".join("NETWORK" if name == "network" else f"--{name.replace('_', '-')}" for name in again)
            raise SpecError(f"--resume {args.resume} takes {words} from the run itself. {_instead(args)}")
        return _work(resume(args.resume, args.data, hands=hands, sinks=(screen,)), stop, screen, world.first)
    if restarted() and world.from_first(_begun_by(sys.argv, args.out)):
        return _work(resume(args.out, args.data, hands=hands, sinks=(screen,)), stop, screen, world.first)
    if args.data is None:
        raise SpecError("--data is missing, must name the images; e.g. --data photos/ or --data digits")
    network = _network(args)
    events = fit(
        network,
        args.data,
        recipe_text(args),
        args.out,
        seed=args.seed if args.seed is not None else 0,
        weights=None if args.weights is None else _first_weights(args, network, world.first),
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
            raise SpecError(f"{option} and {key}= in --recipe {args.recipe!r} set the same thing. Leave one out.")
        if key in _RECIPE_KEYS:
            words.append(f"{key}={value}")
    return " ".join([*([] if args.recipe is None else [args.recipe]), *words]) or None


def _instead(args: argparse.Namespace) -> str:
    """What to type instead of --resume beside what a run is made of: with a recipe, training on from its weights."""
    recipe = recipe_text(args)
    if recipe is None:
        return "Leave them out."
    from plusx.bundles import read_run
    from plusx.training.work import train_on

    data = args.data or read_run(args.resume).data.path
    return f"Leave them out, or train on from its weights: {train_on(args.resume, data, recipe)}"


def _begun_by(command: list[str], out: str | None) -> bool:
    """Whether this very command has begun the run at `out`: then torchrun's restart of it goes on there."""
    from plusx.bundles import read_run

    return out is not None and Path(out, "run.json").is_file() and list(read_run(out).command) == command


def _network(args: argparse.Namespace) -> str | ResNetSpec | None:
    """The words as they were written (so that a written classes= is known as such), or what a file or bundle holds."""
    from plusx.cli.networks import read_network, say_note
    from plusx.specs import ResNetSpec

    words: list[str] = args.network
    if not words:
        return None
    if not Path(words[0]).exists():
        return " ".join(words)
    spec = read_network(words, args.key if Path(words[0]).is_file() else None)
    if Path(words[0]).suffix in (".toml", ".json"):
        return spec
    if args.weights is None:
        say_note(_("only the network of {source} is taken. --weights {source} takes its weights too.", source=words[0]))
    if spec.until is None:
        spec = spec.replace(classes=ResNetSpec().classes)  # those of the data, as where no word says any
    return spec


def _first_weights(args: argparse.Namespace, network: str | ResNetSpec | None, speaks: bool) -> str | Bundle:
    """What --weights names, a file opened; what it does not tell of itself is taken from NETWORK."""
    from plusx.cli.networks import say_note
    from plusx.specs import parse
    from plusx.weights.opening import open_first_weights

    if args.key is None and Path(args.weights).is_dir():
        return args.weights
    spec = parse(network) if isinstance(network, str) else network
    return open_first_weights(args.weights, spec, key=args.key, say=say_note if speaks else _quiet)


def _quiet(line: str) -> None:
    """What the process of rank 0 says already."""


def _work(events: Iterator[Event], stop: Stop, screen: Lines, speaks: bool) -> int:
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
        raise RunError("training ended without a result; run it again with --debug")
    interrupted = finished.reason not in ("done", "early stop")
    if speaks and interrupted:
        _tell_how_to_resume(finished)
    elif speaks:
        _print_result(finished, screen)
    return 128 + (stop.signal or 0) if interrupted else 0


def _tell_how_to_resume(finished: Finished) -> None:
    if not finished.run.exists():
        print("plusx: stopped before the first step; nothing was written", file=sys.stderr)
        return
    print(
        f"plusx: stopped by {finished.reason} after step {finished.step}, all of it is saved; go on with:",
        file=sys.stderr,
    )
    print(f"plusx train --resume {shlex.quote(str(finished.run))}", file=sys.stderr)


def _print_result(finished: Finished, screen: Lines) -> None:
    """stdout: where things lie, how good they are, what to type next."""
    from plusx.i18n import duration
    from plusx.metrics import wilson

    rows = [("run", str(finished.run))]
    if finished.kept is not None and finished.bundle is not None:
        n, top1 = finished.kept["n"], finished.kept["top1"]
        correct = round(n * top1)
        low, high = wilson(correct, n) or (0.0, 1.0)
        rows += [
            ("bundle", str(finished.bundle)),
            (
                "accuracy",
                f"{top1:.2%} on validation ({correct} of {n}; 95 %: {low:.1%} to {high:.1%}), epoch {finished.kept['epoch']} of {finished.epoch}"
                + (", stopped early: nothing better came" if finished.reason == "early stop" else ""),
            ),
        ]
    rows += [
        *([("report", str(finished.run / "report.html"))] if (finished.run / "report.html").is_file() else []),
        ("time", duration(finished.seconds)),
        *([("saved", screen.saved())] if screen.written else []),
        ("next", f"plusx predict {shlex.quote(str(finished.run))} IMAGE …"),
    ]
    for name, text in rows:
        print(f"{name:<9} {text}")


def _one_line(message: Warning | str, *_: object) -> None:
    print(f"plusx: {message}", file=sys.stderr)
