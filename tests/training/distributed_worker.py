"""What one of several processes does in tests/training/test_training_distributed.py; rank 0 writes answers.json.

python distributed_worker.py FOLDER N …

For each N, N processes meet as torchrun's would, with a store that this one keeps. They are forks, because N interpreters
would import torch N times. Each group works in FOLDER/N.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import distributed as dist

from plusx.data import Splits, open_data
from plusx.errors import DataError, PlusxError
from plusx.evaluation import counting
from plusx.nn import build
from plusx.training import RunOptions, Step, Stop, fit, resume
from plusx.training import gradients as gradients_of_processes
from plusx.training.distributed import ProcessGroup, process_group
from plusx.training.loader import BatchLoader
from plusx.training.model_evaluation import evaluate_model
from plusx.training.recipe import parse_recipe
from plusx.training.schedule import Schedule
from plusx.training.seeds import seeded
from plusx.training.setup import preprocessing, resolve_auto
from plusx.training.step import StepResult, Trainer

SMALL = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1"


def sums(group: ProcessGroup) -> object:
    """Of numbers of very different sizes, in two layouts; and what adding in order of rank gives."""
    each = [
        np.random.default_rng(rank).standard_normal(1000).astype(np.float32) * 10.0**rank
        for rank in range(group.world_size)
    ]
    wanted = each[0].copy()
    for other in each[1:]:
        wanted += other
    found, ring = [], []
    for layout in ([1000], [1, 499, 3, 497], [250] * 4):
        parts = [t.clone() for t in torch.from_numpy(each[group.rank].copy()).split(layout)]
        group.all_reduce_sum(parts)
        found.append(torch.cat(parts).numpy())
        parts = [t.clone() for t in torch.from_numpy(each[group.rank].copy()).split(layout)]
        for part in parts:
            dist.all_reduce(part)
        ring.append(torch.cat(parts).numpy())
    means = [torch.full((3,), float(group.rank)), torch.ones(())]
    group.all_reduce_mean(means)
    assert float(means[0][0]) == (group.world_size - 1) / 2 and float(means[1]) == 1
    return {
        name: [bool(np.array_equal(one, wanted)) for one in some] for name, some in (("ours", found), ("gloo", ring))
    }


def evaluations(group: ProcessGroup) -> object:
    """Counts of 1 … 17 images in batches of 4, by all processes together."""
    counting.BATCH = 4
    with seeded(5, 0):
        net = build(f"{SMALL} classes=10").eval()
    data = open_data("digits").val
    pre = preprocessing(resolve_auto(parse_recipe("digits"), open_data("digits"))[0], data)
    rows = []
    for n in range(1, 18):
        found = evaluate_model(net, data.subset(np.arange(n)), pre, torch.device("cpu"), group=group)
        rows.append(found.to_dict())  # type: ignore[union-attr]
    return rows


def pixels(group: ProcessGroup) -> object:
    """Which images an epoch shows, and how they look: a hash of each, by all processes together."""
    splits = open_data("digits")
    recipe, _ = resolve_auto(parse_recipe("digits batch=13 flip=yes erase=0.5 policy=trivialaugment"), splits)
    train = splits.train.subset(np.arange(60))
    loader = BatchLoader(train, Schedule(60, 13, 2), recipe, preprocessing(recipe, train), 7, 0, group)
    rows = []
    for step, batch in enumerate(loader.batches(2, 7)):
        shown = zip(batch.names, batch.labels.tolist(), batch.images, strict=True)
        rows += [(step, name, label, hashlib.sha256(x.tobytes()).hexdigest()[:16]) for name, label, x in shown]
    return sorted(row for some in group.all_gather(rows) for row in some)


def gradients(group: ProcessGroup) -> object:
    """Three steps in float64 with frozen norms, each process with its share of the batch."""
    recipe = parse_recipe("digits precision=fp32 lr=0.1 warmup=0 class_weights=balanced")
    with seeded(0, 0):
        net = build(f"{SMALL} norm=frozen classes=10")
    weights = np.linspace(0.5, 1.5, 10)
    trainer = Trainer(net, recipe, Schedule(11, 11, 20), 0, torch.device("cpu"), "fp32", weights, group)
    trainer.network.double()
    draw = np.random.default_rng(1)
    x, y = draw.standard_normal((11, 1, 8, 8)).astype(np.float32), draw.integers(0, 10, 11)
    low, high = group.share(0, 11)
    losses = [trainer.train_step(x[low:high], y[low:high], ["?"] * (high - low)) for _ in range(3)]
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    same = group.all_gather(hashlib.sha256(flat.numpy().tobytes()).hexdigest())
    return {
        "weights": flat.tolist(),
        "loss": [row.loss for row in losses],
        "n": losses[0].n,
        "equal": len(set(same)) == 1,
    }


def statistics(group: ProcessGroup) -> object:
    """Two steps with batch norm and averaging: a hash of each process's whole state, and a mean of a running mean."""
    recipe = parse_recipe("digits precision=fp32 lr=0.1 warmup=0 ema=0.9")
    with seeded(0, 0):
        net = build(f"{SMALL} classes=10")
    trainer = Trainer(net, recipe, Schedule(12, 12, 20), 0, torch.device("cpu"), "fp32", None, group)
    draw = np.random.default_rng(1)
    x, y = draw.standard_normal((12, 1, 8, 8)).astype(np.float32), draw.integers(0, 10, 12)
    low, high = group.share(0, 12)
    own = torch.nn.functional.conv2d(torch.from_numpy(x[low:high]), net.conv1.weight.detach(), padding=1).mean(
        (0, 2, 3)
    )  # type: ignore[union-attr, arg-type]
    trainer.train_step(x[low:high], y[low:high], ["?"] * (high - low))
    first = net.bn1.running_mean.tolist()  # type: ignore[union-attr, operator]
    trainer.train_step(x[low:high], y[low:high], ["?"] * (high - low))
    state = [t.numpy().tobytes() for some in trainer.tensors().values() for _, t in sorted(some.items())]
    hashes = group.all_gather(hashlib.sha256(b"".join(state)).hexdigest())
    return {
        "hashes": hashes,
        "first": first,
        "wanted": np.mean([0.1 * np.array(o) for o in group.all_gather(own.tolist())], axis=0).tolist(),
    }


def failures(group: ProcessGroup) -> object:
    """One process fails: all raise its error, and one says it. Shares that cannot be read; a loss that is not finite."""

    def work() -> int:
        if group.rank == group.world_size - 1:
            raise DataError("this one")
        return 1

    try:
        group.run_on_all_ranks(work)
    except PlusxError as error:
        told = group.all_gather((type(error).__name__, str(error), error.quiet))
    recipe = parse_recipe("digits precision=fp32")
    with seeded(0, 0):
        trainer = Trainer(
            build(f"{SMALL} classes=10"), recipe, Schedule(8, 8, 20), 0, torch.device("cpu"), "fp32", None, group
        )
    x, y = np.ones((2, 1, 8, 8), np.float32), np.array([1, 2])
    keep = group.rank * 2 if group.rank < 2 else 2  # the first has none, the second two
    result = trainer.train_step(x[:keep], y[:keep], ["a", "b"][:keep])
    bad = x * np.float32("nan") if group.rank == 1 else x
    before = {k: v.clone() for k, v in trainer.network.state_dict().items() if k.endswith("weight")}
    try:
        trainer.train_step(bad, y, [f"bad{group.rank}a", f"bad{group.rank}b"])
        spoilt = None
    except PlusxError as error:
        spoilt = str(error)
    unchanged = all(torch.equal(before[k], v) for k, v in trainer.network.state_dict().items() if k in before)
    return {"told": told, "n": result.n, "spoilt": group.all_gather(spoilt), "unchanged": group.all_gather(unchanged)}


def _splits() -> Splits:
    whole = open_data("digits")
    return replace(whole, train=whole.train.subset(np.arange(90)), val=whole.val.subset(np.arange(30)))


def training(group: ProcessGroup, folder: Path) -> object:
    """A run that nobody disturbs, and one that is stopped in the middle of an epoch and resumed."""
    gradients_of_processes.BUCKET_MB = 0.002  # several buckets, which a resumed training lays out anew
    recipe = "digits epochs=2 batch=16 lr=0.05 ema=0.9 accumulate=2 erase=0.3 flip=yes mixup=0.2 cutmix=1 keep=best precision=fp32"
    begin = partial(fit, f"{SMALL} drop_path=0.2 head_dropout=0.2", _splits(), recipe)
    counting.BATCH = 8
    whole = [
        e.loss
        for e in begin(out=folder / "whole", options=RunOptions(seed=3, device="cpu", threads=1))
        if isinstance(e, Step)
    ]
    stop = Stop()
    for event in begin(out=folder / "run", options=RunOptions(seed=3, device="cpu", threads=1, stop=stop)):
        if isinstance(event, Step) and event.step == 8 and group.rank == group.world_size - 1:
            stop.signal = 15  # set on one rank, obeyed by all
    if group.rank:
        torch.manual_seed(group.rank)
    rest = [
        e.loss
        for e in resume(folder / "run", data=_splits(), options=RunOptions(device="cpu", threads=1))
        if isinstance(e, Step)
    ]
    return {"losses": whole, "rest": rest}


def left(group: ProcessGroup, folder: Path) -> object:
    """A run that is stopped in its second epoch: the names of the images that each step has seen, by all."""
    stop, seen = Stop(), watched()
    options = RunOptions(seed=3, device="cpu", threads=1, stop=stop)
    for event in fit(SMALL, _splits(), "digits epochs=2 batch=16 precision=fp32", folder / "left", options):
        if isinstance(event, Step) and event.step == 8:
            stop.signal = 15
    return [[name for rank in ranks for name in rank] for ranks in zip(*group.all_gather(seen), strict=True)]


def watched() -> list[list[str]]:
    """A list that from now on gets the names of every batch trained on for a run's own trainer."""
    seen: list[list[str]] = []
    train_step = Trainer.train_step

    def watching(self: Trainer, images: np.ndarray, labels: np.ndarray, names: list[str]) -> StepResult:  # type: ignore[type-arg]
        del seen[self.progress.step :]  # what was measured before the run began
        seen.append(list(names))
        return train_step(self, images, labels, names)

    Trainer.train_step = watching  # type: ignore[assignment, method-assign]
    return seen


def work(folder: Path) -> None:
    group = process_group("cpu")
    checks = {
        "sums": sums,
        "evaluations": evaluations,
        "pixels": pixels,
        "gradients": gradients,
        "failures": failures,
        "statistics": statistics,
    }
    answers = {
        name: check(group) for name, check in checks.items() if group.world_size > 1 or name not in ("sums", "failures")
    }
    answers["left"] = left(group, folder)
    answers["training"] = training(group, folder)
    if group.is_rank0:
        (folder / "answers.json").write_text(json.dumps(answers))


def child(rank: int, size: int, port: int, folder: Path) -> int:
    """The process number of a fork that works as one of `size` and ends with 1 where it fails."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        if size > 1:
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True",
            }  # fmt: skip
        work(folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])  # the first one imports much that all forks need
    for size in map(int, sys.argv[2:]):
        folder = Path(sys.argv[1]) / str(size)
        folder.mkdir()
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        children = [child(rank, size, store.port, folder) for rank in range(size)]
        ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        if any(ends):
            sys.exit(f"{size} processes ended with {ends}")
