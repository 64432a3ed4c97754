"""plusx inside one process, timed as the peers' scripts time themselves: after imports and compiling, to the last row.

python benchmarks/_inference_drive.py folder|engine|pipeline BUNDLE FOLDER PRECISION
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from plusx.images import decode, resize_crop
from plusx.runtime import find_images
from plusx.runtime.measuring import images_per_s, latencies_ms, noise, percentile
from plusx.runtime.predicting import Predictor
from plusx.runtime.rows import csv_header, format_row
from plusx.weights.opening import predictor


def folder(bundle: str, images: str, precision: str) -> dict[str, object]:
    predict = predictor(bundle, engine="openvino", precision=precision)
    begun = time.perf_counter()
    n = to_csv(predict, images)
    seconds = time.perf_counter() - begun
    return {
        "script": f"plusx {predict.plan}",
        "images": n,
        "seconds": round(seconds, 3),
        "images_per_s": round(n / seconds, 1),
    }


def to_csv(predict: Predictor, images: str) -> int:
    n = 0
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as out:
        print(csv_header(predict.top), file=out)
        for row in predict.stream(find_images([images])):
            print(format_row(row, "csv", predict.top), file=out, flush=True)
            n += row.error is None
    return n


def engine(bundle: str, images: str, precision: str, seconds: str = "5") -> dict[str, object]:
    """images/s of the throughput plan, and milliseconds of the latency plan, without decoding."""
    quick, soon = (
        predictor(bundle, engine="openvino", precision=precision, objective=p) for p in ("throughput", "latency")
    )
    x = noise(quick.bundle.preprocessing.crop_px or 224, 3, quick.plan.batch)
    times = latencies_ms(soon.pipeline.engine, x, float(seconds))
    return {
        "images_per_s": images_per_s(quick.pipeline.engine, x, float(seconds)),
        "ms": percentile(times, 0.5),
        "plan": str(quick.plan),
    }


def pipeline(bundle: str, images: str, precision: str) -> dict[str, object]:
    """Decoding alone, computing alone and both, each on all cores: images/s, twice round so that a slow moment shows."""
    predict = predictor(bundle, engine="openvino", precision=precision)
    plan, pre = predict.plan, predict.bundle.preprocessing
    items = [item.source for item in find_images([images])]
    x = noise(pre.crop_px or 224, 3, plan.batch)
    rates: dict[str, list[float]] = {"decode": [], "infer": [], "both": []}

    def read(paths: Sequence[object]) -> None:
        for path in paths:
            resize_crop(decode(path, pre.mode, at_least_px=pre.decode_px), pre)  # type: ignore[arg-type]

    for _ in range(2):
        begun = time.perf_counter()
        with ThreadPoolExecutor(plan.threads) as pool:
            list(pool.map(read, [items[i :: 4 * plan.threads] for i in range(4 * plan.threads)]))
        rates["decode"].append(len(items) / (time.perf_counter() - begun))
        rates["infer"].append(images_per_s(predict.pipeline.engine, x, max(2.0, len(items) / 100)))
        begun = time.perf_counter()
        rates["both"].append(to_csv(predict, images) / (time.perf_counter() - begun))
    found = {name: sum(values) / len(values) for name, values in rates.items()}
    return {**found, "share": found["both"] * (1 / found["decode"] + 1 / found["infer"])}


if __name__ == "__main__":
    print(json.dumps({"folder": folder, "engine": engine, "pipeline": pipeline}[sys.argv[1]](*sys.argv[2:])))
