"""A training small enough to be repeated often, with every source of randomness the trainer has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from plusx.bundles import read_checkpoint_dir
from plusx.data import Splits, open_data
from plusx.specs import ResNetSpec, parse
from plusx.training import Checkpointed, Event, RunOptions, Step, Stop, fit, resume

RECIPE = "digits epochs=2 batch=16 lr=0.05 warmup=0.25 ema=0.9 accumulate=2 erase=0.3 flip=yes keep=best precision=fp32"
STEPS = 12  # 90 images in batches of at most 16: six a epoch


@cache
def splits() -> Splits:
    """90 digits to train on and 30 to validate."""
    whole = open_data("digits")
    return replace(whole, train=whole.train.subset(np.arange(90)), val=whole.val.subset(np.arange(30)))


def network() -> ResNetSpec:
    return parse("resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 drop_path=0.2 head_dropout=0.2")


def started(out: Path, recipe: str = RECIPE, *, seed: int = 3, **options: object) -> Iterator[Event]:
    return fit(network(), splits(), recipe, out, options=RunOptions(seed=seed, device="cpu", threads=1, **options))  # type: ignore[arg-type]


def resumed(run: Path, **options: object) -> Iterator[Event]:
    return resume(run, data=splits(), options=RunOptions(device="cpu", **options))  # type: ignore[arg-type]


def stopped_after(out: Path, step: int, recipe: str = RECIPE) -> None:
    """A run whose user pressed Ctrl-C while step `step` was being made."""
    stop = Stop()
    for event in started(out, recipe, stop=stop):
        if isinstance(event, Step) and event.step == step:
            stop.signal = 2


def digest(run: Path) -> dict[str, str]:
    """What a finished run comes to: a hash of every tensor file of its last checkpoint and of its bundle's weights."""
    last = sorted((run / "checkpoints").iterdir())[-1]
    files = {name: raw for name, raw in read_checkpoint_dir(last).items() if name.endswith(".safetensors")}
    files["bundle"] = (run / "bundle" / "weights.safetensors").read_bytes()
    return {"last": last.name} | {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}


def losses(events: Iterator[Event]) -> list[tuple[int, float]]:
    return [(event.step, event.loss) for event in events if isinstance(event, Step)]


def checkpoints(events: Iterator[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Checkpointed)]


def write_photos(root: Path, classes: tuple[str, ...] = ("disc", "stripe"), each: int = 12, side: int = 40) -> Path:
    """Class folders of small JPEG files that differ from one another."""
    draw = np.random.default_rng(0)
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = draw.integers(0, 256, (side, side + 2 * i, 3), dtype=np.uint8) // 4
            pixels[:: k + 2, :, k % 3] += 150
            Image.fromarray(pixels).save(root / name / f"{i:02d}.jpg", quality=90)
    return root


torch.set_num_threads(1)
