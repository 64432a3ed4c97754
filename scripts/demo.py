"""make demo: trains a residual and a plain network of 20 layers on scanned digits, saves, loads elsewhere, predicts.

    python scripts/demo.py [--seed N] [--out DIR]

The last line is RESULT and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from plusx.bundles import open_bundle
from plusx.cli.progress import duration, training_log
from plusx.data import open_data
from plusx.errors import RunError
from plusx.i18n import _
from plusx.training import Finished, RunOptions, Stop, fit, stop_on_signals

NETWORKS = ("resnet20", "plain20")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    args = parser.parse_args()
    print("\n1,797 real digits (UCI), 8 x 8 pixels; a fifth is held out. F(x) + x against F(x):\n", flush=True)
    begun = time.monotonic()
    runs = {name: train(name, args.out, args.seed) for name in NETWORKS}
    seconds = time.monotonic() - begun
    result: dict[str, Any] = {name: scores(run) for name, run in runs.items()}
    residual = runs["resnet20"]
    images = write_images(residual / "held-out")
    result["predicted"] = predict_elsewhere(residual, images)
    result |= {"seed": args.seed, "seconds": round(seconds, 1), "bundle": str(residual / "bundle")}
    say_where(runs, result)
    print(f"RESULT {json.dumps(result)}")
    return 0


def train(name: str, out: Path, seed: int) -> Path:
    """The run of one network, trained with progress on stderr."""
    run = next(p for i in range(1, 10_000) if not (p := out / f"demo-{name}-{i:03d}").exists())
    print(f"{name}:", file=sys.stderr, flush=True)
    stop = Stop()
    options = RunOptions(seed=seed, stop=stop, command=[sys.executable, *sys.argv])
    with stop_on_signals(stop):
        for event in fit(f"{name} in_channels=1", "digits", None, run, options, sinks=(training_log(),)):
            if isinstance(event, Finished) and stop.signal is not None:
                print(f"Stopped. Resume it with: plusx train --resume {run}", file=sys.stderr)
                raise SystemExit(128 + stop.signal)
    return run


def scores(run: Path) -> dict[str, Any]:
    """What the bundle says of itself: test images named right, and how many there were."""
    metrics = open_bundle(run).metrics
    return {"correct": metrics["correct"], "total": metrics["n"], "accuracy": round(metrics["top1"], 4)}


def write_images(folder: Path) -> Path:
    """The held-out digits as PNG files; the digit stands first in a file's name."""
    folder.mkdir()
    held_out = open_data("digits").val
    if held_out.images is None:
        raise RunError(_("The digits are not in memory, where this demo expects them."))
    for i, (pixels, label) in enumerate(zip(held_out.images, held_out.labels, strict=True)):
        Image.fromarray(pixels[..., 0]).save(folder / f"{label}-{i:03d}.png")
    return folder


def predict_elsewhere(run: Path, images: Path) -> dict[str, int]:
    """Right answers of a new process that knows nothing but the bundle and the PNG files."""
    command = [
        sys.executable,
        "-m",
        "plusx",
        "predict",
        str(run / "bundle"),
        str(images),
        "--top",
        "2",
        "--format",
        "jsonl",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RunError(
            _("predict failed with exit code {code}: {text}", code=done.returncode, text=done.stderr.strip())
        )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    print(f"\na new process loads the bundle and reads {len(rows)} PNG files; the first of each kind:")
    right = 0
    for i, row in enumerate(rows):
        label = Path(row["path"]).name[0]
        right += label == row["top"][0]["class"]
        if i == 0 or Path(rows[i - 1]["path"]).name[0] != label:
            answers = "   ".join(f"{answer['class']} {answer['p']:6.1%}" for answer in row["top"])
            print(f"  {Path(row['path']).name}   {answers}")
    return {"correct": right, "total": len(rows)}


def say_where(runs: dict[str, Path], result: dict[str, Any]) -> None:
    residual = runs["resnet20"]
    print()
    for name in NETWORKS:
        row = result[name]
        print(f"{name:<9} {row['correct']} of {row['total']} held-out digits right ({row['accuracy']:.1%})")
    print(f"trained both in {duration(result['seconds'])}")
    print(f"\nresults   {', '.join(map(str, runs.values()))}")
    print(f"bundle    {residual / 'bundle'}")
    print(f"next      .venv/bin/plusx predict {residual} {residual / 'held-out'} --top 3")
    print(f"          .venv/bin/plusx evaluate {residual} --data digits")
    print("          .venv/bin/plusx train resnet18 --data photos/   # a folder of class folders: your own images\n")


if __name__ == "__main__":
    sys.exit(main())
