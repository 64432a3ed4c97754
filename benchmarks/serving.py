"""plusx serve under load, beside `plusx predict` on the same images and beside servers that people write with torch.

Claimed (ResNet-50, 400 JPEGs of 300 to 1600 px, medians over at least 5 interleaved rounds, load on loopback):
  1. throughput >= 0.9 x `plusx predict` on the same images at the same precision
  2. at half of that load, arriving at random, p99 <= 2.5 x p50
     (two perfect workers whose images all take the same time have 2.56 in a long run, by simulation of M/D/2 at half load; four 1.71)

The peers are benchmarks/peers/serve_litserve.py and serve_fastapi_torch.py with the same tensors, also in their best form (bf16,
channels_last). `predict` times itself from the first file to the last row; servers are loaded over 8 connections after a warm-up.
The load runs on the same cores and takes processor time from the server, which is printed: it counts against the servers.

    python benchmarks/serving.py [--n 5] [--images 400] [--networks resnet50] [--precisions int8 bf16] [--at DIR]
        [--peers-python PYTHON] [--json FILE] [--force]

What benchmarks/inference.py needs must be installed; PYTHON is an interpreter with litserve, fastapi, torch and torchvision, and
without it the peers are left out. Exit 1 if a target is missed; a machine that others keep busy is refused unless --force.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _common import PEERS, Claims, interleave, machine_line, process, ratio, save, spread
from plusx.errors import RunError
from plusx.runtime.measuring import require_idle

HERE = Path(__file__).resolve().parent
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "PLUSX_THREADS")
START_S = 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=5, help="rounds")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--networks", nargs="+", default=["resnet50"])
    parser.add_argument("--precisions", nargs="+", default=["int8", "bf16"], choices=("fp32", "bf16", "int8"))
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument(
        "--at", type=Path, help="keep corpus and networks there, to be used again (as inference.py does)"
    )
    parser.add_argument("--peers-python", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--force", action="store_true")
    asked = parser.parse_args()
    claims, figures = Claims(), dict[str, object]()
    print(machine_line())
    for name in THREADS:
        os.environ.pop(name, None)
    if not asked.force:
        try:
            require_idle()
        except RunError as error:
            sys.exit(f"serving.py: {str(error).split(';')[0]}; run it when nothing else does, or add --force")
    with tempfile.TemporaryDirectory() as scratch:
        at = (asked.at or Path(scratch)).resolve()
        os.environ["PLUSX_CACHE"] = str(at / "cache")
        for network in asked.networks:
            figures[network] = measure(network, at, asked, claims)
    save(asked.json, "serving.py", asked.n, figures, claims)
    return claims.exit


def measure(network: str, at: Path, asked: argparse.Namespace, claims: Claims) -> dict[str, Any]:
    made = answer([sys.executable, HERE / "_inference_setup.py", at, network, asked.images])
    bundle, corpus = made["bundle"], Path(made["corpus"])
    cases: dict[str, Callable[[], dict[str, Any]]] = {}
    for precision in asked.precisions:
        words = [sys.executable, HERE / "_inference_drive.py", "folder", bundle, corpus, precision]
        cases[f"predict {precision}"] = lambda words=words: answer(words)
        serve = [
            sys.executable,
            "-m",
            "plusx",
            "serve",
            f"net={bundle}",
            "--engine",
            "openvino",
            "--precision",
            precision,
        ]
        cases[f"serve {precision}"] = lambda serve=serve: loaded(
            serve, "/predict", "/v2/health/ready", "raw", corpus, asked
        )
    if asked.peers_python is None:
        print("  without --peers-python there are no peers in this run")
    else:
        for script, form in (("serve_litserve", "base64"), ("serve_fastapi_torch", "raw")):
            for best in ("", " best"):
                peer = [
                    asked.peers_python,
                    PEERS / f"{script}.py",
                    "--model",
                    network,
                    "--weights",
                    at / f"{network}.pth",
                ]
                peer += ["--best"] if best else []
                cases[f"{script.removeprefix('serve_')}{best}"] = lambda peer=peer, form=form: loaded(
                    peer, "/predict", "/health", form, corpus, asked
                )
    print(f"\n{network}, {asked.images} JPEGs, {asked.connections} connections, n = {asked.n} rounds")
    found = interleave(cases, asked.n)
    rates = {name: [row["images_per_s"] for row in rows] for name, rows in found.items()}
    print(
        "  images/s, median (smallest to largest); at half load p50 and p99 in ms; the load's share of the processor; errors"
    )
    for name, rows in found.items():
        line = f"    {name:<24}{spread(rates[name])}"
        if "p50_ms" in rows[0]:
            p50, p99, share = (
                statistics.median(row[key] for row in rows) for key in ("p50_ms", "p99_ms", "load_share")
            )
            line += f"   {p50:7.1f} {p99:7.1f}   {share:5.1%}   {sum(row['errors'] for row in rows)}"
        print(line)
    for precision in asked.precisions:
        ours, rows = f"serve {precision}", found[f"serve {precision}"]
        over = ratio(rates[ours], rates[f"predict {precision}"])
        tail = statistics.median(row["p99_ms"] / row["p50_ms"] for row in rows)
        print(f"    {ours} over predict: {over}; p99 over p50 at half load: {tail:.2f}")
        claims.check(f"{network}: {ours} over predict", over.value, 0.9, "x", at_most=False)
        claims.check(f"{network}: {ours}, p99 over p50 at half load", tail, 2.5, "x")
        claims.check(f"{network}: {ours}, errors", sum(row["errors"] for row in rows), 0, "")
    return {"rounds": found}


def loaded(
    words: list[Any], path: str, ready: str, form: str, corpus: Path, asked: argparse.Namespace
) -> dict[str, Any]:
    """A server that is started for it: throughput, then times at half of it."""
    with server(words, ready) as url:
        common = [
            sys.executable,
            HERE / "_serving_load.py",
            url + path,
            corpus,
            "--form",
            form,
            "--connections",
            asked.connections,
        ]
        answer([*common, "--requests", min(40, asked.images)])  # warm-up
        full = answer([*common, "--requests", asked.images])
        half = answer([*common, "--requests", asked.images, "--rate", full["images_per_s"] / 2])
    return {
        **{key: half[key] for key in ("p50_ms", "p99_ms")},
        "images_per_s": full["images_per_s"],
        "errors": full["errors"] + half["errors"],
        "load_share": full["cpu_s"] / full["seconds"] / (os.cpu_count() or 1),
    }


@contextmanager
def server(words: list[Any], ready: str) -> Iterator[str]:
    """A server on a free port, once it says that it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = subprocess.Popen(
        [*map(str, words), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while True:
            try:
                with urllib.request.urlopen(url + ready, timeout=10):
                    break
            except OSError:
                if running.poll() is not None or time.monotonic() > end:
                    running.kill()
                    text = running.stderr.read().decode(errors="replace")[-800:] if running.stderr else ""
                    sys.exit(f"serving.py: {words[1]} did not start:\n{text}")
                time.sleep(0.2)
        yield url
    finally:
        running.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(30)
        with contextlib.suppress(ProcessLookupError):  # LitServe's workers outlive it
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def answer(words: list[Any]) -> dict[str, Any]:
    """The JSON that a process prints last."""
    return json.loads(process([str(word) for word in words]).out.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
