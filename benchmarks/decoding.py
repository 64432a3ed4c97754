"""What scaled JPEG decoding gains and costs: time an image, levels apart from Pillow, and the accuracy of trained networks.

Claimed (docs/ship.md):
  1. decoding scaled to the network's 256 px and resizing takes at most half of Pillow's full decode and resize, at 1600 px
  2. the fast path and Pillow's, both at the same scale, are at most 2 levels of 255 apart on every image of the corpus
  3. a network keeps its top-1 on scaled images within the 95 % interval of what it has on exact ones

Networks: a ResNet-20 trained here at 64 px on crops of 150 px from photographs ("which photograph is this from", training and
evaluation crops from disjoint parts; JPEGs are decoded at 1/2), and inference.py's ResNet-50 at 224 px on the same evaluation
crops enlarged four times (600 px, decoded at 1/2). Both predict through `plusx.predictor`, with and without exact_decode.

    python benchmarks/decoding.py [--n 7] [--at DIR]

scikit-image, scikit-learn (photographs), openvino and torch must be installed. Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

import plusx
from _common import Claims, interleave, machine_line, process
from plusx.images import MAX_PIXELS, Preprocessing, decode, resize_crop
from plusx.images.decode import decode_with_pillow
from plusx.images.jpeg import TOLERANCE, decode_fast, scale_for
from plusx.metrics.counters import wilson

HERE = Path(__file__).resolve().parent
PRE = Preprocessing("RGB", 256, 224)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=7, help="rounds")
    parser.add_argument("--at", type=Path, help="keep corpus and networks there, to be used again (as inference.py)")
    asked = parser.parse_args()
    print(machine_line())
    claims = Claims()
    with tempfile.TemporaryDirectory() as scratch:
        at = (asked.at or Path(scratch)).resolve()
        setup = [sys.executable, str(HERE / "_inference_setup.py"), str(at), "resnet50", "400"]
        made = json.loads(process(setup).out.splitlines()[-1])
        corpus = [path.read_bytes() for path in sorted(Path(made["corpus"]).glob("*.jpg"))]
        times(corpus, asked.n, claims)
        apart(corpus, claims)
        labelled = at / "labelled"
        accuracy("ResNet-20 trained at 64 px", trained(labelled, at), labelled / "val", 1, Path(scratch), claims)
        accuracy("ResNet-50 at 224 px, crops x 4", made["bundle"], labelled / "val", 4, Path(scratch), claims)
    return claims.exit


def times(corpus: list[bytes], n: int, claims: Claims) -> None:
    """Milliseconds from bytes to the network's pixels, one thread; corpus images enlarged to each width."""
    print(
        "ms an image from JPEG to 224 px, one thread, median of n: Pillow whole, Pillow scaled, fast whole, fast scaled"
    )
    readers: dict[str, Callable[[bytes], np.ndarray]] = {
        "Pillow": lambda raw: decode_with_pillow(raw, "RGB"),
        "Pillow scaled": lambda raw: decode_with_pillow(raw, "RGB", 256),
        "fast": lambda raw: decode(raw, "RGB", exact=True),
        "fast scaled": lambda raw: decode(raw, "RGB", at_least_px=256),
    }
    for side in (400, 800, 1600):
        images = [enlarged(raw, side) for raw in corpus[:12]]
        cases = {name: partial(timed, images, read) for name, read in readers.items()}
        found = {name: statistics.median(values) for name, values in interleave(cases, n).items()}
        print(f"  longer side {side}: " + ", ".join(f"{value:.2f}" for value in found.values()))
        if side == 1600:
            share = found["fast scaled"] / found["Pillow"]
            claims.check("fast scaled over Pillow whole, 1600 px", share, 0.5, "")


def enlarged(raw: bytes, side: int) -> bytes:
    image = Image.fromarray(decode(raw, "RGB"))
    scale = side / max(image.size)
    out = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC).save(
        out, "JPEG", quality=85
    )
    return out.getvalue()


def timed(images: list[bytes], read: Callable[[bytes], np.ndarray]) -> float:
    begun = time.perf_counter()
    for raw in images:
        resize_crop(read(raw), PRE)
    return (time.perf_counter() - begun) / len(images) * 1000


def apart(corpus: list[bytes], claims: Claims) -> None:
    worst, scaled = 0, 0
    for raw in corpus:
        fast, slow = decode_fast(raw, "RGB", 256, MAX_PIXELS), decode_with_pillow(raw, "RGB", 256)
        assert fast is not None
        worst = max(worst, int(np.abs(fast.astype(int) - slow).max()))
        scaled += scale_for(*Image.open(io.BytesIO(raw)).size, 256) > 1
    print(f"fast path and Pillow's on {len(corpus)} JPEGs, {scaled} of them scaled: at most {worst} levels apart")
    claims.check("levels between the two paths", worst, TOLERANCE, "of 255")


def trained(labelled: Path, at: Path) -> str:
    """A bundle whose network has really learnt, at a size at which those crops are decoded at 1/2."""
    run = at / "decoding-run"
    if not run.exists():
        words = [
            "train",
            "resnet20",
            "--data",
            str(labelled),
            "--out",
            str(run),
            "--recipe",
            "default epochs=12 batch=16 size=64",
        ]
        process([sys.executable, "-m", "plusx", *words])
    return str(run)


def accuracy(name: str, bundle: str, val: Path, times_larger: int, scratch: Path, claims: Claims) -> None:
    files = [(path, path.parent.name) for path in sorted(val.rglob("*.jpg"))]
    if times_larger > 1:
        files = [(larger(path, times_larger, scratch), label) for path, label in files]
    top: dict[bool, list[str]] = {}
    for exact in (True, False):
        predict = plusx.predictor(bundle, engine="openvino", precision="fp32", exact_decode=exact)
        top[exact] = [row.top[0][0] for row in predict([path for path, _ in files])]
    pre = predict.bundle.preprocessing
    scales = {scale_for(*Image.open(path).size, pre.decode_px) for path, _ in files}
    right = {exact: sum(t == label for t, (_, label) in zip(top[exact], files, strict=True)) for exact in top}
    same = sum(a == b for a, b in zip(top[True], top[False], strict=True))
    n = len(files)
    low, high = wilson(right[True], n) or (0.0, 1.0)
    print(
        f"{name}: n = {n}, decoded at 1/{'1/'.join(map(str, sorted(scales)))}: top-1 exact {right[True] / n:.1%} "
        f"[{low:.1%}, {high:.1%}], scaled {right[False] / n:.1%}, {same / n:.1%} agree"
    )
    claims.check(f"{name}, top-1 on scaled images", right[False] / n, low, "", at_most=False)


def larger(path: Path, times: int, scratch: Path) -> Path:
    out = scratch / path.parent.name / path.name
    out.parent.mkdir(exist_ok=True)
    image = Image.open(path)
    image.resize((image.width * times, image.height * times), Image.Resampling.LANCZOS).save(out, quality=92)
    return out


if __name__ == "__main__":
    sys.exit(main())
