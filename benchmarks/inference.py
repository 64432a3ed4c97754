"""From JPEGs to labels, beside torchvision's script and an OpenVINO+OpenCV script; and the engine alone, a cold start.

Claimed (README, for ResNet-50 on 400 JPEGs of 300 to 1600 px, medians over at least 7 interleaved rounds):
  1. folder to CSV >= 10 x torchvision's script, >= 3.5 x its best form, >= 1.25 x OpenVINO+OpenCV with reduced decoding
     at the same precision; peak memory <= half of torchvision's
  2. the engine alone >= 0.97 x OpenVINO's benchmark_app (throughput; latency), int8 >= 1.4 x bf16
  3. one image from a cold process <= 1.3 s with the compiled network in the cache
  4. the pipeline >= 0.9 of 1 / (1 / decode + 1 / infer), each alone on the same cores

The peers are benchmarks/peers as they are, with the same tensors. Rates are images a second as each script times itself,
from before the first file to after the last label, without imports, loading and compiling: that favours the peers, whose
start takes seconds (it is in claim 3). Memory is the peak of each process. A network with random convolutions, statistics
from photographs and a head fitted to "which photograph is this from" stands in for pretrained weights; its top-1, agreement
and margins at each precision are printed, since the agreement of networks that know nothing would mean nothing.

    python benchmarks/inference.py [--n 7] [--images 400] [--networks resnet50 resnet18] [--at DIR] [--json FILE]

scikit-image, scikit-learn (photographs), opencv-python-headless, openvino, nncf, torchvision must be installed.
Exit 1 if a target is missed; a machine that others keep busy is refused before each part. Thread counts in the environment
(OMP_NUM_THREADS, MKL_NUM_THREADS, …) are taken out: MKL's alone would leave torchvision's script one core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _common import PEERS, Claims, Run, interleave, machine_line, process, ratio, save, spread
from plusx.errors import RunError
from plusx.runtime.measuring import require_idle

HERE = Path(__file__).resolve().parent
PRECISIONS = ("fp32", "bf16", "int8")
PARTS = ("folder", "engine", "cold", "pipeline")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "PLUSX_THREADS")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=7, help="rounds")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--networks", nargs="+", default=["resnet50", "resnet18"])
    parser.add_argument("--at", type=Path, help="keep corpus and networks there, to be used again")
    parser.add_argument("--seconds", type=int, default=5, help="of benchmark_app, and of the engine beside it")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    claims, figures = Claims(), dict[str, object]()
    print(machine_line())
    for name in THREADS:
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as scratch:
        at = (asked.at or Path(scratch)).resolve()
        os.environ["PLUSX_CACHE"] = str(at / "cache")
        for network in asked.networks:
            figures[network] = measure(network, at, asked, claims if network == "resnet50" else Claims())
    save(asked.json, "inference.py", asked.n, figures, claims)
    return claims.exit


def measure(network: str, at: Path, asked: argparse.Namespace, claims: Claims) -> dict[str, object]:
    made = answer([sys.executable, HERE / "_inference_setup.py", at, network, asked.images])
    print(f"\n{network}, {asked.images} JPEGs, n = {asked.n} rounds")
    for precision, proof in made["proofs"].items():
        print(
            f"  {precision}: top-1 {proof['top1']:.1%} of {proof['n']} crops (fp32 in torch {proof['reference_top1']:.1%}), "
            f"{proof['agreement']:.1%} agree, difference {proof['difference']:.1e}, median margin {proof['median_margin']:.2f}, widest flip {proof['widest_flip']:.2f}"
        )
    bundle, corpus = made["bundle"], made["corpus"]
    parts: dict[str, Callable[[], Any]] = {
        "folder": lambda: folders(network, bundle, corpus, at, asked.n, claims),
        "engine": lambda: engines(bundle, corpus, asked, claims),
        "cold": lambda: cold(network, bundle, corpus, at, asked.n, claims),
        "pipeline": lambda: pipelines(bundle, corpus, asked.n, claims),
    }
    figures: dict[str, object] = {"proofs": made["proofs"]}
    for name in asked.parts:
        wait_for_idle()
        figures[name] = parts[name]()
    return figures


def wait_for_idle(tries: int = 20) -> None:
    """Half a minute for others to end; then one line and the end, rather than figures of the neighbours."""
    for left in reversed(range(tries)):
        time.sleep(1)
        try:
            return require_idle()
        except RunError as error:
            if not left:
                sys.exit(f"inference.py: {str(error).split(';')[0]}; run it when nothing else does")


def answer(words: list[Any]) -> dict[str, Any]:
    """The JSON that a process prints last."""
    return json.loads(process([str(word) for word in words]).out.splitlines()[-1])


def drive(what: str, bundle: str, corpus: str, precision: str) -> list[Any]:
    return [sys.executable, HERE / "_inference_drive.py", what, bundle, corpus, precision]


# ---- 1: a folder of JPEGs to labels ----


def folders(network: str, bundle: str, corpus: str, at: Path, n: int, claims: Claims) -> dict[str, Any]:
    torchvision = [
        sys.executable,
        PEERS / "predict_torchvision.py",
        corpus,
        "--model",
        network,
        "--weights",
        at / f"{network}.pth",
    ]
    opencv = [sys.executable, PEERS / "predict_openvino_opencv.py"]
    cases = {
        "torchvision": torchvision,
        "torchvision best": [*torchvision, "--best"],
        "openvino+opencv bf16": [*opencv, at / f"{network}.xml", corpus],
        "openvino+opencv bf16 reduced": [*opencv, at / f"{network}.xml", corpus, "--reduced"],
        "openvino+opencv int8 reduced": [*opencv, at / f"{network}-int8.xml", corpus, "--reduced"],
        **{f"plusx {p}": drive("folder", bundle, corpus, p) for p in PRECISIONS},
    }
    runs = interleave(
        {name: (lambda words=words: process([str(w) for w in words])) for name, words in cases.items()}, n
    )
    rates = {name: [rate(run) for run in found] for name, found in runs.items()}
    peaks = {name: statistics.median(run.peak_mb for run in found) for name, found in runs.items()}
    walls = {name: statistics.median(run.ms for run in found) / 1000 for name, found in runs.items()}
    print("  images/s, median (smallest to largest); peak memory; seconds from start to end of the process")
    for name, values in rates.items():
        print(f"    {name:<30}{spread(values)}   {peaks[name]:6.0f} MB  {walls[name]:6.1f} s")
    for ours, peer, target in (
        ("plusx int8", "torchvision", 10), ("plusx int8", "torchvision best", 3.5),
        ("plusx bf16", "openvino+opencv bf16 reduced", 1.25), ("plusx int8", "openvino+opencv int8 reduced", 1.25),
    ):  # fmt: skip
        found = ratio(rates[ours], rates[peer])
        print(f"    {ours} over {peer}: {found}")
        claims.check(f"{ours} over {peer}", found.value, target, "x", at_most=False)
    claims.check("peak memory over torchvision's", peaks["plusx int8"] / peaks["torchvision"], 0.5, "")
    return {"rates": rates, "peaks_mb": peaks, "wall_s": walls}


def rate(run: Run) -> float:
    return json.loads(run.out.splitlines()[-1])["images_per_s"]


# ---- 2: the engine alone ----


def engines(bundle: str, corpus: str, asked: argparse.Namespace, claims: Claims) -> dict[str, Any]:
    """plusx's engine beside benchmark_app on the very file that was exported, in one process each."""
    cases: dict[str, Callable[[], dict[str, Any]]] = {}
    for precision in PRECISIONS:
        cases[f"plusx {precision}"] = lambda p=precision: answer([*drive("engine", bundle, corpus, p), asked.seconds])
        for hint in ("throughput", "latency"):
            cases[f"benchmark_app {precision} {hint}"] = lambda p=precision, h=hint: benchmark_app(
                bundle, p, h, asked.seconds
            )
    found = interleave(cases, asked.n)
    rates = {name: [row["images_per_s"] for row in rows] for name, rows in found.items()}
    times = {name: [row["ms"] for row in rows] for name, rows in found.items()}
    print("  engine alone: images/s; ms an image at batch 1")
    for name in cases:
        print(f"    {name:<30}{spread(rates[name])}   {spread(times[name])}")
    for precision in PRECISIONS:
        ours = f"plusx {precision}"
        found_rate = ratio(rates[ours], rates[f"benchmark_app {precision} throughput"])
        found_time = ratio(times[f"benchmark_app {precision} latency"], times[ours])
        print(f"    {ours} over benchmark_app: throughput {found_rate}, latency {found_time}")
        claims.check(f"{ours}, throughput over benchmark_app's", found_rate.value, 0.97, "x", at_most=False)
        claims.check(f"{ours}, quickness over benchmark_app's", found_time.value, 0.97, "x", at_most=False)
    claims.check("int8 over bf16", ratio(rates["plusx int8"], rates["plusx bf16"]).value, 1.4, "x", at_most=False)
    return {"rates": rates, "ms": times}


def benchmark_app(bundle: str, precision: str, hint: str, seconds: int) -> dict[str, float]:
    model = Path(bundle) / "engines" / f"openvino-{precision}" / "model.xml"
    words = [
        Path(sys.executable).parent / "benchmark_app", "-m", model, "-d", "CPU", "-t", seconds, "-hint", hint,
        "-infer_precision", "bf16" if precision == "bf16" else "f32", "-data_shape", "images[1,224,224,3]", "-shape", "images[1,224,224,3]",
    ]  # fmt: skip
    text = process([str(word) for word in words]).out
    speed, wait = (re.search(pattern, text) for pattern in (r"Throughput:\s+([\d.]+)", r"Median:\s+([\d.]+)"))
    if speed is None or wait is None:
        sys.exit(f"benchmark_app said nothing that this script understands:\n{text[-800:]}")
    return {"images_per_s": float(speed[1]), "ms": float(wait[1])}


# ---- 3: a cold process ----


def cold(network: str, bundle: str, corpus: str, at: Path, n: int, claims: Claims) -> dict[str, Any]:
    one = at / "one"
    one.mkdir(exist_ok=True)
    image = sorted(Path(corpus).glob("*.jpg"))[0]
    (one / image.name).write_bytes(image.read_bytes())
    plusx = [
        sys.executable,
        "-m",
        "plusx",
        "predict",
        bundle,
        one / image.name,
        "--engine",
        "openvino",
        "--precision",
    ]
    peer = [
        sys.executable,
        PEERS / "predict_torchvision.py",
        one,
        "--model",
        network,
        "--weights",
        at / f"{network}.pth",
    ]
    cases = {**{f"plusx {p}": [*plusx, p] for p in PRECISIONS}, "torchvision": peer}
    runs = interleave(
        {name: (lambda words=words: process([str(w) for w in words])) for name, words in cases.items()}, n
    )
    print("  one image from a cold process, ms; peak memory")
    for name, found in runs.items():
        print(
            f"    {name:<30}{spread([run.ms for run in found])}   {statistics.median(run.peak_mb for run in found):6.0f} MB"
        )
    for precision in PRECISIONS:
        claims.check(
            f"cold start, plusx {precision}",
            statistics.median(run.ms for run in runs[f"plusx {precision}"]) / 1000,
            1.3,
            "s",
        )
    return {name: [run.ms for run in found] for name, found in runs.items()}


# ---- 4: decoding and computing together ----


def pipelines(bundle: str, corpus: str, n: int, claims: Claims) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for precision in PRECISIONS:
        rows = [answer(drive("pipeline", bundle, corpus, precision)) for _ in range(max(1, n // 2))]
        middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        figures[precision] = rows
        each = ", ".join(f"{key} {middle[key]:.1f}" for key in ("decode", "infer", "both"))
        print(f"  pipeline {precision}, images/s: {each}; {middle['share']:.2f} of what the two alone would allow")
        claims.check(f"pipeline {precision}, of the ideal", middle["share"], 0.9, "", at_most=False)
    return figures


if __name__ == "__main__":
    sys.exit(main())
