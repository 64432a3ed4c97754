"""One training by plusx for transfer.py: a recipe, its timeline as JSON, and each stage's network on the test images.

    python benchmarks/_transfer_plusx.py WEIGHTS TASK RECIPE --out RUN [--seed S] [--minutes M] [--no-flip]

RECIPE is probe, layer4, finetune or auto, or scratch: the same thin ResNet-50 with batch norm, from random weights, with recipe
default.
"""

from clock import Clock  # isort: skip  # pyright: ignore[reportMissingImports]  (first, so that the imports below count)

import argparse
import json
from pathlib import Path
from typing import Any

import plusx
from plusx.data import open_eval
from plusx.errors import RunError
from plusx.runtime.engines import EngineOptions, installed
from plusx.training import RunOptions, fit
from plusx.training.events import Evaluated, Event, Prepared, StageEnded, Started

FROM_SCRATCH = "resnet50 widths=32,64,128,256"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("task", type=Path)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--no-flip", action="store_true")
    asked = parser.parse_args()
    clock, scratch = Clock(), asked.recipe == "scratch"
    words = "default" if scratch else asked.recipe
    if asked.no_flip and words != "probe":
        words += " flip=no"
    options = RunOptions(
        seed=asked.seed,
        weights=None if scratch else asked.weights,
        minutes=None if words == "probe" else asked.minutes,
    )
    failed: str | None = None
    try:
        for event in fit(FROM_SCRATCH if scratch else None, asked.task / "data", words, asked.out, options):
            note(clock, event)
    except RunError as error:  # the loss became NaN: that is a result, and not a good one
        failed = str(error)
    end = clock.now()
    right, n = count(asked.out, asked.task) if failed is None else (0, sum(1 for _ in asked.task.glob("test/*/*")))
    stages = [
        {**point, "right": count(asked.out / point["name"], asked.task)[0]}
        for point in clock.points
        if point["what"] == "stage" and (asked.out / point["name"]).is_dir()  # views that did not help have no network
    ]
    print(json.dumps({**end, "points": clock.points, "n": n, "right": right, "stages": stages, "failed": failed}))


def note(clock: Clock, event: Event) -> None:
    match event:
        case Started():
            clock.note("started", epochs=event.epochs, estimate=event.seconds, precision=event.precision)
        case Prepared() if event.done == event.total:
            clock.note("maps", n=event.total)
        case Evaluated():
            clock.note(f"epoch {event.epoch}", n=event.n, top1=event.top1, nll=event.nll, best=event.best)
        case StageEnded():
            figures = {"n": event.n, "top1": event.top1, "nll": event.nll, "best": event.best, "why": str(event.why)}
            clock.note("stage", name=event.name, **figures)
        case _:
            pass


def count(network: Path, task: Path) -> tuple[int, int]:
    """How many test images the network gets right, and of how many, in fp32."""
    source: Any = network / "bundle" if (network / "bundle").is_dir() else network
    engine = "openvino" if installed("openvino") else "auto"
    classes = tuple(sorted(folder.name for folder in (task / "test").iterdir()))
    found = plusx.evaluate(
        source, open_eval(task / "test", classes), options=EngineOptions(engine=engine, precision="fp32")
    )
    return round((found.top1 or 0) * found.n), found.n


if __name__ == "__main__":
    main()
