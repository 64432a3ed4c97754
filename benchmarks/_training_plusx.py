"""plusx's part of training.py inside one process: python benchmarks/_training_plusx.py folder|step|data|eager NETWORK FOLDER STEPS

folder: training from JPEGs, as `plusx train` does it, timed as peers/train_torchvision.py times itself
step:   the same steps on one batch in memory, by one thread: what they cost
data:   reading and augmenting the same batches, by one thread: what that costs
eager:  the network's steps in float32 in torch's own layout, as a plain script makes them, beside those of `step`
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from plusx.training import RunOptions
from plusx.training.events import Evaluated, Step
from plusx.training.run import TrainingRun

WARM_UP = 3


def folder(network: str, images: str, steps: int) -> dict[str, object]:
    done, begun, away = 0, 0.0, 0.0
    with planned(network, images).claimed() as run:
        events = run.events()
        for event in events:
            if isinstance(event, Evaluated):  # the peer's script has none
                away += event.seconds
            if not isinstance(event, Step):
                continue
            if begun:
                done += event.n
            elif event.step == WARM_UP:
                begun, away = time.perf_counter(), 0.0
            if event.step == WARM_UP + steps:
                break
        seconds = time.perf_counter() - begun - away
        events.close()  # type: ignore[attr-defined]
    return {"script": "plusx train", "images": done, "images_per_s": done / seconds}


def step(network: str, images: str, steps: int) -> dict[str, object]:
    run = planned(network, images)
    torch.set_num_threads(1)
    trainer, batch = run.trainer(run.network), next(run.loader().batches(0, 1))

    def batches() -> Iterator[None]:
        while True:
            trainer.train_step(batch.images, batch.labels, batch.names)
            yield

    return {"core_ms": per_image(batches(), steps, len(batch.labels)), "precision": trainer.precision}


def data(network: str, images: str, steps: int) -> dict[str, object]:
    run = planned(network, images)
    torch.set_num_threads(1)
    loader = replace(run.loader(), workers=0)
    return {"core_ms": per_image(loader.batches(0, WARM_UP + steps), steps, run.setup.recipe.batch)}


def eager(network: str, images: str, steps: int) -> dict[str, object]:
    run = planned(network, images)
    torch.set_num_threads(1)
    net, batch = run.network.train(), next(run.loader().batches(0, 1))
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    pixels = torch.from_numpy(batch.images).permute(0, 3, 1, 2).float().contiguous() / 255
    labels = torch.from_numpy(batch.labels)

    def batches() -> Iterator[None]:
        while True:
            loss = F.cross_entropy(net(pixels), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield

    return {"core_ms": per_image(batches(), steps, len(labels))}


def per_image(batches: Iterator[object], steps: int, n: int) -> float:
    for _ in range(WARM_UP):
        next(batches)
    begun = time.process_time()
    for _ in range(steps):
        next(batches)
    return 1000 * (time.process_time() - begun) / (steps * n)


def planned(network: str, images: str) -> TrainingRun:
    """A run of the recipe default; of fashion-mnist with a batch of 128, as torch users write for its 28 pixels."""
    recipe = "default epochs=1000" if Path(images).is_dir() else "default epochs=1000 batch=128"
    out = Path(tempfile.mkdtemp(prefix="plusx-benchmark-")) / "run"
    return TrainingRun.create(network, images, recipe, out, RunOptions())


if __name__ == "__main__":
    mode, network, images, steps = sys.argv[1:]
    print(json.dumps({"folder": folder, "step": step, "data": data, "eager": eager}[mode](network, images, int(steps))))
