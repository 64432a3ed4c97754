"""Mixing, policies, growing sizes, early stop and class weights: against other implementations, and seeded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from plusx.bundles import open_bundle, read_lines
from plusx.data import Splits, open_data
from plusx.errors import SpecError
from plusx.nn import build
from plusx.training import Evaluated, Finished, RunOptions, fit, model_evaluation, resume
from plusx.training import run as run_module
from plusx.training.loader import BatchLoader
from plusx.training.mixing import mix
from plusx.training.policies import POLICIES, apply_policy
from plusx.training.recipe import parse_recipe
from plusx.training.schedule import Schedule, training_size
from plusx.training.seeds import seeded
from plusx.training.setup import preprocessing, resolve_auto
from plusx.training.step import Trainer, balanced_weights
from training.tinyrun import RECIPE, network, splits, started

CPU = torch.device("cpu")


def _images(n: int = 6, side: int = 16) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    draw = np.random.default_rng(0)
    return draw.standard_normal((n, 3, side, side)).astype(np.float32), np.arange(n) % 4


@pytest.mark.parametrize("words", ["mixup=0.4", "cutmix=1"])
def test_mixing_is_torchvisions(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same share and box handed to transforms.v2: the same images, and the same soft labels."""
    v2 = pytest.importorskip("torchvision.transforms.v2")
    recipe, (x, y) = parse_recipe(f"default {words}"), _images()
    for step in range(12):
        mixed = mix(torch.from_numpy(x), y, recipe, 3, step, 0)
        theirs = (v2.MixUp if recipe.mixup else v2.CutMix)(alpha=1.0, num_classes=4)
        changed = np.nonzero((mixed.images.numpy() != x).any(axis=(0, 1)))
        if recipe.cutmix:
            ys, xs = changed
            found = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1) if len(xs) else (0, 0, 0, 0)
            params = {"box": found, "lam_adjusted": mixed.share}
            left, top, right, bottom = found
            assert mixed.share == pytest.approx(1 - (right - left) * (bottom - top) / 256)
        else:
            params = {"lam": mixed.share}
        labels = torch.from_numpy(y)
        params |= {"labels": labels, "batch_size": len(x)}
        monkeypatch.setattr(theirs, "make_params", lambda _, params=params: params)
        out, soft = theirs(torch.from_numpy(x), labels)
        assert np.allclose(out.numpy(), mixed.images.numpy(), atol=1e-6)
        ours = mixed.share * F.one_hot(torch.from_numpy(mixed.labels), 4) + (1 - mixed.share) * F.one_hot(
            torch.from_numpy(mixed.others), 4
        )
        assert torch.allclose(soft.double(), ours.double(), atol=1e-6)


def test_mixing_is_seeded() -> None:
    recipe, (images, y) = parse_recipe("default mixup=0.4 cutmix=1"), _images()
    x = torch.from_numpy(images)
    shares = {
        (seed, step, rank): mix(x, y, recipe, seed, step, rank).share
        for seed in (0, 1)
        for step in range(20)
        for rank in (0, 1)
    }
    assert shares == {at: mix(x, y, recipe, *at).share for at in reversed(shares)}
    assert len(set(shares.values())) > 60  # boxes of 16 x 16 pixels have only so many areas
    kinds = [np.array_equal(mix(x, y, recipe, 0, step, 0).images[0, :, 0, 0], x[0, :, 0, 0]) for step in range(200)]
    assert 40 < sum(kinds) < 160  # a box seldom covers the corner; an average always does
    beta = [mix(x, y, parse_recipe("default mixup=0.4"), 0, step, 0).share for step in range(2000)]
    assert np.mean(beta) == pytest.approx(0.5, abs=0.03)
    assert np.var(beta) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)  # of Beta(a, a)
    assert mix(x, y, parse_recipe("default"), 0, 0, 0).images is x


def _trainer(words: str, classes: int = 4, **more: object) -> Trainer:
    recipe = parse_recipe(f"default precision=fp32 warmup=0 label_smoothing=0 {words}")
    with seeded(0, 0):
        net = build(f"resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 classes={classes}")
    return Trainer(net, recipe, Schedule(40, recipe.batch, recipe.epochs), 0, CPU, "fp32", **more)  # type: ignore[arg-type]


def test_the_loss_of_mixed_images_is_that_of_soft_labels() -> None:
    trainer, (x, y) = _trainer("mixup=8"), _images()
    mixed = mix(torch.from_numpy(x), y, trainer.recipe, 0, 0, 0)
    soft = mixed.share * F.one_hot(torch.from_numpy(mixed.labels), 4) + (1 - mixed.share) * F.one_hot(
        torch.from_numpy(mixed.others), 4
    )
    wanted = F.cross_entropy(trainer.network.train()(mixed.images), soft.float())
    assert 0.1 < mixed.share < 0.9
    assert trainer.train_step(x, y, ["?"] * 6).loss == pytest.approx(wanted.item(), rel=1e-5)


def test_class_weights_are_torchs() -> None:
    """torch divides by the sum of the weights, plusx by the images: with n / (k · n of the class) the same over a set."""
    x, _ = _images(8)
    y = np.array([0, 0, 0, 0, 0, 1, 2, 2])
    weights = balanced_weights(np.bincount(y, minlength=3))
    trainer = _trainer("", classes=3, class_weights=weights)
    logits = trainer.network.train()(torch.from_numpy(x))
    wanted = F.cross_entropy(logits, torch.from_numpy(y), weight=torch.from_numpy(weights).float())
    plain = F.cross_entropy(logits, torch.from_numpy(y))
    assert trainer.train_step(x, y, ["?"] * 8).loss == pytest.approx(wanted.item(), rel=1e-5)
    assert abs(wanted.item() - plain.item()) > 1e-3


def test_class_weights_come_from_the_training_images(tmp_path: Path) -> None:
    few = splits()
    keep = np.flatnonzero((few.train.labels != 3) | (np.arange(90) < 12))
    uneven = replace(few, train=few.train.subset(keep))
    out = {}
    options = RunOptions(device="cpu", threads=1)
    for words in ("none", "balanced"):
        run = fit(network(), uneven, f"{RECIPE} class_weights={words}", tmp_path / words, options)  # type: ignore[arg-type]
        out[words] = [event for event in run if isinstance(event, Evaluated)][-1].train_loss
    assert out["none"] != out["balanced"]
    assert open_bundle(tmp_path / "balanced").provenance.recipe["class_weights"] == "balanced"


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "3augment"])
def test_policies_are_torchvisions_and_seeded(name: str) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    changed = apply_policy(name, images, 1, 2, np.arange(6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(apply_policy(name, images[3:5], 1, 2, np.array([3, 4])), changed[3:5])
    assert sum(not np.array_equal(a, b) for a, b in zip(changed, images, strict=True)) >= 3
    assert not np.array_equal(apply_policy(name, images, 1, 3, np.arange(6)), changed)
    theirs = {"trivialaugment": v2.TrivialAugmentWide, "randaugment": v2.RandAugment, "augmix": v2.AugMix}[name]()
    from plusx.data.permutation import hashed
    from plusx.training.policies import K_POLICY
    from plusx.training.seeds import fold

    torch.manual_seed(fold(1, int(hashed(1, 2, 4, K_POLICY)[0])))
    assert np.array_equal(theirs(torch.from_numpy(images[4].transpose(2, 0, 1))).numpy().transpose(1, 2, 0), changed[4])


def test_images_grow(photos: Splits) -> None:
    recipe, _ = resolve_auto(parse_recipe("default epochs=6 batch=4 size=48 size_from=24 grow=0.5"), photos)
    assert [training_size(recipe, epoch) for epoch in range(6)] == [24, 33, 39, 48, 48, 48]
    schedule = Schedule(len(photos.train), 4, 6)
    loader = BatchLoader(photos.train, schedule, recipe, preprocessing(recipe, photos.train), 0, 2)
    sides = [batch.images.shape[1] for batch in loader.batches(0, schedule.steps)]
    assert sides == [size for size in (24, 33, 39, 48, 48, 48) for _ in range(schedule.steps_per_epoch)]
    with pytest.raises(SpecError, match=r"size_from=64 is larger than size=48"):
        resolve_auto(parse_recipe("default size=48 size_from=64"), photos)


def test_a_small_image_is_the_large_one_made_smaller(photos: Splits) -> None:
    """Against the image that an evaluation at that size would see."""
    recipe, _ = resolve_auto(parse_recipe("default epochs=2 batch=4 size=48 size_from=24 crop=none flip=no"), photos)
    pre = preprocessing(recipe, photos.train)
    from plusx.images import resize_crop

    batch = next(BatchLoader(photos.train, Schedule(len(photos.train), 4, 2), recipe, pre, 0).batches(0, 1))
    small = replace(pre, crop_px=24, resize_px=round(55 / 2))  # 48 / 0.875 = 55
    where = {photos.train.path(i): i for i in range(len(photos.train))}
    wanted = [resize_crop(photos.train.read(where[name], pre.mode, small.decode_px), small) for name in batch.names]
    assert np.array_equal(batch.images, np.stack(wanted))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_early_stop(keep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epoch 2 of 9 is the best by decree: two epochs later the training ends, and a resume has nothing to do.

    The first two evaluations measure the speed."""
    calls = iter([0.0, 0.0, 0.2, 0.9, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85])

    def decree(net, *arguments, **keywords):  # type: ignore[no-untyped-def]
        return replace(model_evaluation.evaluate_model(net, *arguments, **keywords), top1=next(calls), nll=1.0)

    monkeypatch.setattr(run_module, "evaluate_model", decree)
    recipe = RECIPE.replace("epochs=2", "epochs=9").replace("keep=best", f"keep={keep}") + " early_stop=2"
    events = list(started(tmp_path / "run", recipe))
    last = events[-1]
    assert isinstance(last, Finished) and (last.reason, last.epoch) == ("early stop", 4)
    assert open_bundle(tmp_path / "run").metrics["epoch"] == (2 if keep == "best" else 4)
    again = list(resume(tmp_path / "run", data=splits(), options=RunOptions(device="cpu", threads=1)))
    assert [type(event).__name__ for event in again] == ["Started", "Finished"]
    assert sum(row["event"] == "evaluated" for row in read_lines(tmp_path / "run" / "metrics.jsonl")) == 4


def test_without_early_stop_every_epoch_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([0.0, 0.0, 0.9, 0.1, 0.1, 0.1])
    monkeypatch.setattr(
        run_module,
        "evaluate_model",
        lambda net, *arguments, **keywords: replace(
            model_evaluation.evaluate_model(net, *arguments, **keywords), top1=next(calls), nll=1.0
        ),
    )
    *_, last = started(tmp_path / "run", RECIPE.replace("epochs=2", "epochs=4"))
    assert isinstance(last, Finished) and (last.reason, last.epoch) == ("done", 4)


def test_digits_train_with_everything_on(tmp_path: Path) -> None:
    """No feature spoils a training: far over chance after a few epochs, with all of them at once."""
    recipe = (
        "digits epochs=4 lr=0.1 mixup=0.2 cutmix=1 policy=trivialaugment erase=0.1 ema=0.9 accumulate=2 size_from=6 "
        "class_weights=balanced early_stop=3 precision=fp32"
    )
    *_, last = fit(
        "resnet20 depths=1,1,1 drop_path=0.1 head_dropout=0.1",
        open_data("digits"),
        recipe,
        tmp_path / "run",
        options=RunOptions(device="cpu", threads=1),
    )
    assert isinstance(last, Finished) and last.kept is not None
    assert last.kept["top1"] > 0.6
