"""Predicting on two Ray nodes while actors, nodes and the driver are killed at random: the merged rows equal the undisturbed ones.

    python benchmarks/ray_faults.py --rows 2000 --faults 20
    python benchmarks/ray_faults.py --rows 100000 --faults 0 --part-rows 5000 --network "resnet18 depths=1,1 widths=8,16 stem_width=8 classes=3"

Without faults the job runs on a cluster of its own, and the memory of the driver and of the largest actor is stated for each
third of the time.

Jobs run one after the other, each into a new folder, until enough faults have struck. A job whose driver is killed is
started again by the same command. Its inputs are a folder, a tar archive and a Parquet file with some unreadable images.
The head node computes nothing; each of the two others has one core. Needs plusx[ray,cpu] and torch (for random weights).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent / "tests")]
ENGINE = ["--engine", "openvino", "--precision", "fp32", "--threads", "1"]
OBJECTS = 100_000_000


def make_inputs(folder: Path, rows: int) -> list[str]:
    """Half of the rows in a folder, a quarter each in a tar archive and a Parquet file; every 50th is no image."""
    import pyarrow
    import pyarrow.parquet

    from shipping import write_jpegs

    raw = [path.read_bytes() for path in write_jpegs(folder / "few", 40)]
    images = [b"no image" if i % 50 == 7 else raw[i % len(raw)] for i in range(rows)]
    half, three = rows // 2, rows * 3 // 4
    (folder / "photos").mkdir()
    for i in range(half):
        where = folder / "photos" / f"{i // 1000:03d}"
        where.mkdir(exist_ok=True)
        (where / f"{i:06d}.jpg").write_bytes(images[i])
    with tarfile.open(folder / "a.tar", "w") as archive:
        for i in range(half, three):
            (folder / "one.jpg").write_bytes(images[i])
            archive.add(folder / "one.jpg", f"{i:06d}.jpg")
    pyarrow.parquet.write_table(pyarrow.table({"image": images[three:]}), folder / "a.parquet", row_group_size=100)
    return [str(folder / name) for name in ("photos", "a.tar", "a.parquet")]


class Nodes:
    """A head without cores and two nodes of one core, as processes of this one."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": OBJECTS, "include_dashboard": False},
        )
        self.nodes = [self._add(), self._add()]

    def _add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=OBJECTS)

    def raylet(self, node: Any) -> int:
        return node.all_processes["raylet"][0].process.pid

    def kill(self, number: int) -> None:
        """SIGKILL to a node's raylet, whose workers go with it; and a new node in its place."""
        os.kill(self.raylet(self.nodes[number]), signal.SIGKILL)
        self.cluster.remove_node(self.nodes[number], allow_graceful=False)
        self.nodes[number] = self._add()

    def actors(self) -> list[int]:
        """The processes of actors that compute parts."""
        import psutil

        found = []
        for node in self.nodes:
            try:
                children = psutil.Process(self.raylet(node)).children(recursive=True)
                found += [p.pid for p in children if "MapWorker" in " ".join(p.cmdline())]
            except psutil.Error:
                continue
        return found

    def close(self) -> None:
        self.cluster.shutdown()


class Memory:
    """Once a second, the resident megabytes of a driver and of the largest actor below it."""

    def __init__(self, driver: int) -> None:
        self.driver, self.seen = driver, list[tuple[int, int]]()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        import psutil

        with contextlib.suppress(psutil.Error):
            while True:
                root, actors = psutil.Process(self.driver), [0]
                for each in root.children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        if "MapWorker" in " ".join(each.cmdline()):
                            actors.append(each.memory_info().rss)
                self.seen.append((root.memory_info().rss >> 20, max(actors) >> 20))
                time.sleep(1)

    def thirds(self) -> list[tuple[int, ...]]:
        """The largest (driver, actor) of each third of the time."""
        n = max(1, len(self.seen) // 3)
        parts = [self.seen[:n], self.seen[n : 2 * n], self.seen[2 * n :]]
        return [tuple(map(max, zip(*part, strict=True))) for part in parts if part]


memory: list[Memory] = []


def job(
    words: list[str], nodes: Nodes | None, draw: random.Random, counts: collections.Counter[str], most: int
) -> None:
    """The command until it has succeeded, struck by faults while there are fewer than `most`."""
    while True:
        driver = subprocess.Popen([sys.executable, "-m", "plusx", *words], stderr=subprocess.PIPE, text=True)
        memory.append(Memory(driver.pid))
        while driver.poll() is None:
            end = time.monotonic() + draw.uniform(1.0, 6.0)
            while driver.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            if driver.poll() is not None or nodes is None or counts.total() >= most:
                continue
            kind = draw.choices(("actor", "node", "driver"), (5, 3, 2))[0]
            if kind == "actor":
                actors = nodes.actors()
                if not actors:
                    continue
                os.kill(draw.choice(actors), signal.SIGKILL)
            elif kind == "node":
                nodes.kill(draw.randrange(2))
            else:
                driver.kill()
                driver.wait()
            counts[kind] += 1
            print(f"{time.strftime('%H:%M:%S')} fault {counts.total()}: {kind}", file=sys.stderr, flush=True)
        said = driver.stderr.read() if driver.stderr else ""
        if driver.returncode == 0:
            return
        if driver.returncode != -signal.SIGKILL:  # a driver that gives up says how to go on: the same command
            counts["given up"] += 1
            print(said, file=sys.stderr)
            if counts["given up"] > 3:
                raise SystemExit(f"the job failed {counts['given up']} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--part-rows", type=int, default=25)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--network", default="resnet18 widths=16,32,64,128 stem_width=16 classes=3")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    from shipping import photo_bundle

    draw, counts, jobs, started = random.Random(args.seed), collections.Counter[str](), 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ray-faults-") as folder:
        base = Path(folder)
        bundle, inputs = str(photo_bundle(base, args.network)), make_inputs(base, args.rows)
        plusx = [sys.executable, "-m", "plusx"]
        os.environ["PYTHONPATH"] = str(HERE.parent / "src")
        os.environ["PLUSX_CACHE"] = str(base / "cache")
        subprocess.run([*plusx, "predict", bundle, *inputs, "-o", str(base / "whole.jsonl"), *ENGINE], check=True)
        whole, nodes = (base / "whole.jsonl").read_bytes(), Nodes() if args.faults else None
        try:
            while jobs == 0 or counts.total() < args.faults:
                out = base / f"parts-{jobs}"
                words = ["predict", bundle, *inputs, "-o", str(out), "--part-rows", str(args.part_rows), *ENGINE]
                words += [f"--ray={nodes.cluster.address}" if nodes else "--ray=local"]
                job(words, nodes, draw, counts, args.faults)
                merged = base / f"merged-{jobs}.jsonl"
                subprocess.run([*plusx, "merge", str(out), "-o", str(merged)], check=True)
                if merged.read_bytes() != whole:
                    raise SystemExit(f"job {jobs} differs from the undisturbed one")
                strays = len(list(out.glob("rows-*"))) - len(list((out / "_plusx").glob("rows-*.json")))
                print(f"job {jobs}: {args.rows} rows equal, {strays} files of no part", file=sys.stderr)
                jobs += 1
        finally:
            if nodes is not None:
                nodes.close()
    print(
        json.dumps(
            {
                "rows": args.rows, "parts": -(-args.rows // args.part_rows), "jobs": jobs, "equal": jobs, "faults": dict(counts),
                "seconds": round(time.monotonic() - started),
                "driver_and_actor_mb": memory[-1].thirds(),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
