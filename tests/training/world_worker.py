"""What one of several processes does in tests/training/test_training_world.py; rank 0 prints one JSON line.

torchrun --nproc-per-node N world_worker.py CHECK FOLDER
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import distributed as dist

import plusx
from plusx.data import Splits, open_data
from plusx.errors import DataError, PlusxError
from plusx.nn import build
from plusx.training import Hands, Step, Stop, evaluation, fit, resume
from plusx.training.feed import Feed
from plusx.training.plan import Plan
from plusx.training.recipe import parse_recipe
from plusx.training.seeds import counted
from plusx.training.setup import preprocessing, settle
from plusx.training.trainer import Learnt, Trainer
from plusx.training.world import World, here

SMALL = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1"


def sums(world: World) -> object:
    """Of numbers of very different sizes, in two layouts; and what adding in order of rank gives."""
    each = [
        np.random.default_rng(rank).standard_normal(1000).astype(np.float32) * 10.0**rank for rank in range(world.size)
    ]
    wanted = each[0].copy()
    for other in each[1:]:
        wanted += other
    found, ring = [], []
    for layout in ([1000], [1, 499, 3, 497], [250] * 4):
        parts = [t.clone() for t in torch.from_numpy(each[world.rank].copy()).split(layout)]
        world.add(parts)
        found.append(torch.cat(parts).numpy())
        parts = [t.clone() for t in torch.from_numpy(each[world.rank].copy()).split(layout)]
        for part in parts:
            dist.all_reduce(part)
        ring.append(torch.cat(parts).numpy())
    means = [torch.full((3,), float(world.rank)), torch.ones(())]
    world.mean(means)
    assert float(means[0][0]) == (world.size - 1) / 2 and float(means[1]) == 1
    return {
        name: [bool(np.array_equal(one, wanted)) for one in some] for name, some in (("ours", found), ("gloo", ring))
    }


def evaluations(world: World) -> object:
    """Counts of 1 … 17 images in batches of 4, by all processes together."""
    evaluation.BATCH = 4
    with counted(5, 0):
        net = build(f"{SMALL} classes=10").eval()
    data = open_data("digits").val
    pre = preprocessing(settle(parse_recipe("digits"), open_data("digits"))[0], data)
    rows = []
    for n in range(1, 18):
        found = evaluation.judge(net, data.subset(np.arange(n)), pre, torch.device("cpu"), world=world)
        rows.append(found.to_dict())  # type: ignore[union-attr]
    return rows


def pixels(world: World) -> object:
    """Which images an epoch shows, and how they look: a hash of each, by all processes together."""
    splits = open_data("digits")
    recipe, _ = settle(parse_recipe("digits batch=13 flip=yes erase=0.5 policy=trivialaugment"), splits)
    train = splits.train.subset(np.arange(60))
    feed = Feed(train, Plan(60, 13, 2), recipe, preprocessing(recipe, train), 7, 0, world)
    rows = []
    for step, batch in enumerate(feed.batches(2, 7)):
        shown = zip(batch.names, batch.labels.tolist(), batch.images, strict=True)
        rows += [(step, name, label, hashlib.sha256(x.tobytes()).hexdigest()[:16]) for name, label, x in shown]
    return sorted(row for some in world.gather(rows) for row in some)


def gradients(world: World) -> object:
    """Three steps in float64 with frozen norms, each process with its share of the batch."""
    recipe = parse_recipe("digits precision=fp32 lr=0.1 warmup=0 class_weights=balanced")
    with counted(0, 0):
        net = build(f"{SMALL} norm=frozen classes=10")
    weights = np.linspace(0.5, 1.5, 10)
    trainer = Trainer(net, recipe, Plan(11, 11, 20), 0, torch.device("cpu"), "fp32", weights, world)
    trainer.network.double()
    draw = np.random.default_rng(1)
    x, y = draw.standard_normal((11, 1, 8, 8)).astype(np.float32), draw.integers(0, 10, 11)
    low, high = world.share(0, 11)
    losses = [trainer.learn(x[low:high], y[low:high], ["?"] * (high - low)) for _ in range(3)]
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    same = world.gather(hashlib.sha256(flat.numpy().tobytes()).hexdigest())
    return {
        "weights": flat.tolist(),
        "loss": [row.loss for row in losses],
        "n": losses[0].n,
        "equal": len(set(same)) == 1,
    }


def statistics(world: World) -> object:
    """Two steps with batch norm and averaging: a hash of each process's whole state, and a mean of a running mean."""
    recipe = parse_recipe("digits precision=fp32 lr=0.1 warmup=0 ema=0.9")
    with counted(0, 0):
        net = build(f"{SMALL} classes=10")
    trainer = Trainer(net, recipe, Plan(12, 12, 20), 0, torch.device("cpu"), "fp32", None, world)
    draw = np.random.default_rng(1)
    x, y = draw.standard_normal((12, 1, 8, 8)).astype(np.float32), draw.integers(0, 10, 12)
    low, high = world.share(0, 12)
    own = torch.nn.functional.conv2d(torch.from_numpy(x[low:high]), net.conv1.weight.detach(), padding=1).mean(
        (0, 2, 3)
    )  # type: ignore[union-attr, arg-type]
    trainer.learn(x[low:high], y[low:high], ["?"] * (high - low))
    first = net.bn1.running_mean.tolist()  # type: ignore[union-attr, operator]
    trainer.learn(x[low:high], y[low:high], ["?"] * (high - low))
    state = [t.numpy().tobytes() for some in trainer.tensors().values() for _, t in sorted(some.items())]
    hashes = world.gather(hashlib.sha256(b"".join(state)).hexdigest())
    return {
        "hashes": hashes,
        "first": first,
        "wanted": np.mean([0.1 * np.array(o) for o in world.gather(own.tolist())], axis=0).tolist(),
    }


def failures(world: World) -> object:
    """One process fails: all raise its error, and one says it. Shares that cannot be read; a loss that is not finite."""

    def work() -> int:
        if world.rank == world.size - 1:
            raise DataError("this one")
        return 1

    try:
        world.together(work)
    except PlusxError as error:
        told = world.gather((type(error).__name__, str(error), error.quiet))
    recipe = parse_recipe("digits precision=fp32")
    with counted(0, 0):
        trainer = Trainer(
            build(f"{SMALL} classes=10"), recipe, Plan(8, 8, 20), 0, torch.device("cpu"), "fp32", None, world
        )
    x, y = np.ones((2, 1, 8, 8), np.float32), np.array([1, 2])
    keep = world.rank * 2 if world.rank < 2 else 2  # the first has none, the second two
    learnt = trainer.learn(x[:keep], y[:keep], ["a", "b"][:keep])
    bad = x * np.float32("nan") if world.rank == 1 else x
    before = {k: v.clone() for k, v in trainer.network.state_dict().items() if k.endswith("weight")}
    try:
        trainer.learn(bad, y, [f"bad{world.rank}a", f"bad{world.rank}b"])
        spoilt = None
    except PlusxError as error:
        spoilt = str(error)
    unchanged = all(torch.equal(before[k], v) for k, v in trainer.network.state_dict().items() if k in before)
    return {"told": told, "n": learnt.n, "spoilt": world.gather(spoilt), "unchanged": world.gather(unchanged)}


def _splits() -> Splits:
    whole = open_data("digits")
    return replace(whole, train=whole.train.subset(np.arange(90)), val=whole.val.subset(np.arange(30)))


def training(world: World, folder: Path) -> object:
    """A run that nobody disturbs, and one that is stopped in the middle of an epoch and resumed."""
    recipe = "digits epochs=2 batch=16 lr=0.05 ema=0.9 accumulate=2 erase=0.3 flip=yes mixup=0.2 cutmix=1 keep=best precision=fp32"
    begin = partial(fit, f"{SMALL} drop_path=0.2 head_dropout=0.2", _splits(), recipe, seed=3)
    evaluation.BATCH = 8
    whole = [e.loss for e in begin(out=folder / "whole", hands=Hands("cpu", 1)) if isinstance(e, Step)]
    stop = Stop()
    for event in begin(out=folder / "run", hands=Hands("cpu", 1, stop=stop)):
        if isinstance(event, Step) and event.step == 8 and world.rank == world.size - 1:
            stop.signal = 15  # told to one process, heard by all
    if world.rank:
        torch.manual_seed(world.rank)
    rest = [e.loss for e in resume(folder / "run", _splits(), hands=Hands("cpu", 1)) if isinstance(e, Step)]
    return {"losses": whole, "rest": rest}


def left(world: World, folder: Path) -> object:
    """A run that is stopped in its second epoch: the names of the images that each step has seen, by all."""
    stop, seen = Stop(), watched()
    hands = Hands("cpu", 1, stop=stop)
    for event in fit(SMALL, _splits(), "digits epochs=2 batch=16 precision=fp32", folder / "left", seed=3, hands=hands):
        if isinstance(event, Step) and event.step == 8:
            stop.signal = 15
    return [[name for rank in ranks for name in rank] for ranks in zip(*world.gather(seen), strict=True)]


def watched() -> list[list[str]]:
    """A list that from now on gets the names of every batch learnt for a run's own trainer."""
    seen: list[list[str]] = []
    learn = Trainer.learn

    def watching(self: Trainer, images: np.ndarray, labels: np.ndarray, names: list[str]) -> Learnt:  # type: ignore[type-arg]
        del seen[self.progress.step :]  # what was measured before the run began
        seen.append(list(names))
        return learn(self, images, labels, names)

    Trainer.learn = watching  # type: ignore[assignment, method-assign]
    return seen


if __name__ == "__main__":
    torch.set_num_threads(1)
    world = here("cpu")
    checks = {
        "sums": sums,
        "evaluations": evaluations,
        "pixels": pixels,
        "gradients": gradients,
        "failures": failures,
        "statistics": statistics,
    }
    answers = {
        name: check(world) for name, check in checks.items() if world.size > 1 or name not in ("sums", "failures")
    }
    answers["left"] = left(world, Path(sys.argv[1]))
    answers["training"] = training(world, Path(sys.argv[1]))
    if world.first:
        print(json.dumps({"plusx": plusx.__version__, **answers}), flush=True)
