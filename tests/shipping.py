"""Networks to ship, made once a session: one trained on digits, one of photographs with living random weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from living import enliven
from plusx import build, spec
from plusx.bundles import open_bundle, save_bundle
from plusx.cli.main import main
from plusx.data import open_data
from plusx.images import Preprocessing
from waiting import HANG

SMALL = "resnet20 depths=1,1,1"


def digits_run(base: Path) -> Path:
    """A run on digits, good enough that its answers mean something; trained on the first call."""
    run = base / "digits-run"
    if not run.exists():
        words = [*SMALL.split(), "--data", "digits", "--recipe", "digits epochs=6", "--out", str(run), "--threads", "1"]
        assert main(["train", *words, "--device", "cpu"]) == 0
    return run


def photo_bundle(base: Path, words: str = "resnet18 depths=1,1 widths=8,16 stem_width=8 classes=3") -> Path:
    """A bundle that takes 32-px crops of photographs; its answers vary with the image, and mean nothing."""
    path = base / f"photos-{abs(hash(words)):x}"
    if not path.exists():
        torch.manual_seed(0)
        state = {key: value.numpy() for key, value in enliven(build(words)).state_dict().items()}
        classes = [f"class {i}" for i in range(spec(words).classes)]
        save_bundle(path, spec(words), classes, Preprocessing("RGB", 40, 32), state)
    return path


def copy_bare(source: Path, to: Path) -> Path:
    """A bundle or run's bundle copied to `to`, weights alone."""
    found = open_bundle(source)
    return save_bundle(
        to, found.spec, found.classes, found.preprocessing, found.weights(), found.metrics, found.provenance
    )


def write_digits(folder: Path, n: int) -> list[Path]:
    """The first `n` held-out digits as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    held_out, paths = open_data("digits").val, []
    assert held_out.images is not None
    for i in range(n):
        paths.append(folder / f"{i:03d}-{held_out.labels[i]}.png")
        Image.fromarray(held_out.images[i][..., 0]).save(paths[-1])
    return paths


def write_jpegs(folder: Path, n: int, seed: int = 0) -> list[Path]:
    """JPEGs of several sizes with something on them."""
    folder.mkdir(parents=True, exist_ok=True)
    draw, paths = np.random.default_rng(seed), []
    for i in range(n):
        small = draw.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        size = (int(draw.integers(60, 260)), int(draw.integers(50, 200)))
        paths.append(folder / f"{i:03d}.jpg")
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def fresh(code: str, *arguments: str, env: Mapping[str, str] | None = None, fails: bool = False) -> str:
    """What a new interpreter prints on stdout for `code`."""
    import os

    whole = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=whole, timeout=HANG
    )
    assert (done.returncode != 0) == fails, done.stderr[-2000:]
    return done.stdout + (done.stderr if fails else "")
