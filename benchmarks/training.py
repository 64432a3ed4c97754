"""Training steps from JPEGs, beside torchvision's script and its best form; and what limits them.

Claimed (medians over at least 5 interleaved rounds, on an idle machine):
  1. ResNet-18 and ResNet-50 at 224 px from JPEGs, images/s: >= 1.0 x the best form of torchvision's script (channels last,
     bf16 autocast, the quicker of 1 and 2 worker processes), >= 2.0 x the script as it is
  2. the same >= 0.95 of cores / (core-ms of a step + core-ms of reading), each measured alone by one thread
  3. a step of ResNet-20 on 28 px: >= 2.2 x eager float32, one thread each (Fashion-MNIST)
  4. peak resident memory <= that of torchvision's best form, its worker processes aside

The peer is benchmarks/peers/train_torchvision.py: random-resized crops and flips of 224 px, batch 32, SGD. plusx does the
same work with its recipe default (crops of at least 35 % of the area, gradients clipped, a running checkpoint a minute); no
evaluation falls into the timed steps, since the script makes none.

    python benchmarks/training.py [--n 5] [--networks resnet18 resnet50] [--steps 20] [--at DIR] [--json FILE]

scikit-image, scikit-learn (photographs) and torchvision must be installed. Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

from _common import PEERS, Claims, Run, interleave, machine_line, process, ratio, save, spread
from plusx.errors import RunError
from plusx.runtime.measuring import require_idle

HERE = Path(__file__).resolve().parent
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "PLUSX_THREADS")
PEER = {
    "script": ("--workers", "2"),
    "best, 1 worker": ("--best", "--workers", "1"),
    "best, 2 workers": ("--best", "--workers", "2"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=5, help="rounds")
    parser.add_argument("--networks", nargs="*", default=["resnet18", "resnet50"])
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each process, of 32 images")
    parser.add_argument("--at", type=Path, help="where the photographs are made and kept (default: a new folder)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    for name in THREADS:
        os.environ.pop(name, None)
    print(machine_line())
    at = args.at or Path(tempfile.mkdtemp(prefix="plusx-training-"))
    photos, claims, figures = photographs(at), Claims(), {}
    for network in args.networks:
        idle()
        figures[network] = from_jpegs(network, photos, args.n, args.steps, claims)
    idle()
    figures["resnet20"] = small(args.n, args.steps, claims)
    save(args.json, "training", args.n, figures, claims)
    return claims.exit


def photographs(at: Path) -> Path:
    """400 JPEGs in two class folders, each three times, so that an epoch is longer than what is timed."""
    folder, made = at / "photos", at / "made"
    if not folder.is_dir():
        process([sys.executable, PEERS / "make_corpus.py", made, "400"])
        for i, image in enumerate(sorted(made.iterdir())):
            place = made / "ab"[i % 2]
            place.mkdir(exist_ok=True)
            for copy in ("b", "c"):
                (place / f"{image.stem}{copy}.jpg").hardlink_to(image)
            image.rename(place / image.name)
        made.rename(folder)
    return folder


def from_jpegs(network: str, photos: Path, n: int, steps: int, claims: Claims) -> dict[str, object]:
    driver = [sys.executable, HERE / "_training_plusx.py"]
    peer = [sys.executable, PEERS / "train_torchvision.py", photos, "--model", network, "--steps", str(steps)]
    cases = {"plusx": partial(process, [*driver, "folder", network, photos, str(steps)])}
    cases |= {name: partial(process, [*peer, *words]) for name, words in PEER.items()}
    cases |= {part: partial(process, [*driver, part, network, photos, str(steps)]) for part in ("step", "data")}
    found = interleave(cases, n)
    rates = {name: [read(run)["images_per_s"] for run in found[name]] for name in ("plusx", *PEER)}
    print(f"\n{network}, 224 px, images/s from JPEGs, n = {n}")
    for name, values in rates.items():
        memory = statistics.median(run.peak_mb for run in found[name])
        print(f"  {name:18}{spread(values)}   peak {memory:.0f} MB")
    best = max(("best, 1 worker", "best, 2 workers"), key=lambda name: statistics.median(rates[name]))
    for name, limit in (("script", 2.0), (best, 1.0)):
        how = ratio(rates["plusx"], rates[name])
        claims.check(f"{network} beside torchvision's {name} {how}", how.value, limit, "times", at_most=False)
    parts = {part: statistics.median(read(run)["core_ms"] for run in found[part]) for part in ("step", "data")}
    limit = 1000 * len(os.sched_getaffinity(0)) / sum(parts.values())
    print(f"  core-ms an image: step {parts['step']:.1f}, reading {parts['data']:.1f}; so at most {limit:.1f} images/s")
    share = statistics.median(rates["plusx"]) / limit
    claims.check(f"{network}, share of that limit", share, 0.95, "of it", at_most=False)
    peaks = {name: statistics.median(run.peak_mb for run in found[name]) for name in ("plusx", best)}
    claims.check(f"{network}, peak memory", peaks["plusx"] / peaks[best], 1.0, "of torchvision's", at_most=True)
    return {"images_per_s": rates, "core_ms": parts, "peak_mb": peaks}


def small(n: int, steps: int, claims: Claims) -> dict[str, object]:
    driver = [sys.executable, HERE / "_training_plusx.py"]
    words = ("resnet20", "fashion-mnist", str(steps))
    found = interleave({mode: partial(process, [*driver, mode, *words]) for mode in ("step", "eager")}, n)
    times = {mode: [read(run)["core_ms"] for run in runs] for mode, runs in found.items()}
    print(f"\nresnet20, 28 px, core-ms an image, n = {n}")
    for mode, values in times.items():
        print(f"  {mode:18}{statistics.median(values):9.2f}  ({min(values):.2f} to {max(values):.2f})")
    how = ratio(times["eager"], times["step"])
    claims.check(f"resnet20 beside eager float32 {how}", how.value, 2.2, "times", at_most=False)
    return {"core_ms": times}


def read(run: Run) -> dict[str, float]:
    return json.loads(run.out.splitlines()[-1])


def idle() -> None:
    try:
        require_idle()
    except RunError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())
