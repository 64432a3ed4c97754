"""What listing, proving and merging cost, in processor time a row and resident memory, for parts of made-up rows.

    python benchmarks/merging.py --rows 100000 1000000

Nothing is decoded and no network computes: the figures are those of the work around it, for one process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np

from plusx.cluster.input_list import write_list
from plusx.cluster.inputs import InputRecord, find_records
from plusx.cluster.manifests import JobIdentity
from plusx.cluster.merge import merge
from plusx.cluster.parts import write_part
from plusx.cluster.places import PartsPlace
from plusx.cluster.proof import checked_parts
from plusx.cluster.stores import LocalStore
from plusx.runtime.embedding import Embedding
from plusx.runtime.inputs import Item
from plusx.runtime.predicting import Prediction

TOP = tuple((f"class {i}", 0.2 - i / 100) for i in range(5))


def predictions(items: Iterable[Item]) -> Iterator[Prediction]:
    for item in items:
        yield Prediction(item.name, None, TOP)


def vectors(items: Iterable[Item]) -> Iterator[Embedding]:
    row = np.linspace(0, 1, 2048, dtype=np.float32)
    for item in items:
        yield Embedding(item.name, None, row)


def spent(work: Callable[[], Any]) -> tuple[float, int]:
    """Processor seconds of the work in a process of its own, and its largest resident MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ask, tell = multiprocessing.Pipe(False)

    def run() -> None:
        work()
        tell.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    most = ask.recv()
    child.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, most


def measured(rows: int, folder: Path) -> dict[str, Any]:
    names = [f"s3://bucket/photos/{i // 1000:06d}/{i:09d}.jpg" for i in range(rows)]
    found: dict[str, Any] = {"rows": rows}

    def note(what: str, work: Callable[[], Any], n: int = rows) -> None:
        seconds, most = spent(work)
        found[what] = {"us_a_row": round(1e6 * seconds / n, 1), "mb": most}

    store = LocalStore(folder)
    inputs = write_list((InputRecord(name, name) for name in names), folder / "inputs", store, "inputs")
    note("write the list", lambda: write_list((InputRecord(n, n) for n in names), folder / "again", store, "again"))
    job = JobIdentity("predict", "jsonl", rows, inputs.sha256, "0" * 64, "openvino fp32", top=5)
    place = PartsPlace(LocalStore(folder / "parts"))

    def parts() -> None:
        for start in range(0, rows, 10_000):
            stop = min(rows, start + 10_000)
            records = [InputRecord(name, None, error="x") for name in names[start:stop]]
            write_part(place, job, start, stop, records, predictions)

    note("write parts", parts)
    note("prove", lambda: merge(checked_parts([str(folder / "parts")]), None))
    note("to csv", lambda: merge(checked_parts([str(folder / "parts")]), str(folder / "a.csv")))
    note("to a data set", lambda: merge(checked_parts([str(folder / "parts")]), str(folder / "set")))
    few = min(rows, 20_000)
    some = write_list((InputRecord(name, name) for name in names[:few]), folder / "few", store, "few")
    job = JobIdentity("embed", "parquet", few, some.sha256, "0" * 64, "openvino fp32", width=2048)
    there = PartsPlace(LocalStore(folder / "vectors"))

    def vector_parts() -> None:
        for start in range(0, few, 5_000):
            records = [InputRecord(name, None, error="x") for name in names[start : start + 5_000]]
            write_part(there, job, start, start + 5_000, records, vectors)

    note(f"write vectors ({few})", vector_parts, few)
    note(f"vectors to npy ({few})", lambda: merge(checked_parts([str(folder / "vectors")]), str(folder / "v.npy")), few)
    return found


def listed(folder: Path, n: int) -> float:
    """Processor microseconds of listing one of `n` files in folders of 1000."""
    for i in range(n):
        where = folder / "files" / f"{i // 1000:04d}"
        where.mkdir(parents=True, exist_ok=True)
        (where / f"{i:06d}.jpg").touch()
    started = time.process_time()
    assert sum(1 for _record in find_records([str(folder / "files")])) == n
    return round(1e6 * (time.process_time() - started) / n, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 400_000])
    for rows in parser.parse_args().rows:
        with tempfile.TemporaryDirectory(prefix="merging-") as folder:
            print(json.dumps(measured(rows, Path(folder)), indent=1))
    with tempfile.TemporaryDirectory(prefix="merging-") as folder:
        print(json.dumps({"list_a_file_us": listed(Path(folder), 50_000)}))


if __name__ == "__main__":
    main()
