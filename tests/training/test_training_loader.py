"""Order, batches and rates: every image once an epoch, whatever the sizes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plusx.data import Skipped, crop_box, crop_draws, erase, erase_boxes, flip, flips, open_data, permutation
from plusx.errors import DataError
from plusx.images import Preprocessing, normalise, resize_box
from plusx.nn.inputs import to_tensor
from plusx.runtime import processor
from plusx.training.loader import BatchLoader
from plusx.training.machine import deterministic
from plusx.training.recipe import parse_recipe
from plusx.training.schedule import Schedule, learning_rate
from plusx.training.seeds import fold, seeded
from plusx.training.setup import default_threads, prepare, preprocessing, resolve_auto


@given(n=st.integers(2, 300), batch=st.integers(2, 64), epochs=st.integers(1, 3), smallest=st.integers(1, 2))
def test_an_epoch_is_cut_evenly(n: int, batch: int, epochs: int, smallest: int) -> None:
    batch -= smallest == 1
    schedule = Schedule(n, batch, epochs, smallest)
    spans = [schedule.span(step) for step in range(schedule.steps)]
    for epoch in range(epochs):
        parts = [(low, high) for e, low, high in spans if e == epoch]
        assert [place for low, high in parts for place in range(low, high)] == list(range(n))
        sizes = {high - low for low, high in parts}
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= smallest
        assert max(sizes) <= (batch if smallest == 1 else max(batch, 3))  # 3: an odd count cannot be cut into twos


def test_rate_is_warm_up_then_half_a_cosine() -> None:
    """Against torch's own schedulers, chained."""
    recipe = parse_recipe("default epochs=10 batch=10 lr=0.3 warmup=0.2 lr_end=0.01")
    schedule = Schedule(100, 10, 10)
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    warm = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: (step + 1) / 20)
    theirs = []
    for step in range(schedule.steps):
        if step == 20:
            optimiser.param_groups[0].update(lr=0.3, initial_lr=0.3)
            warm = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=80, eta_min=0.003)
        theirs.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        warm.step()
    assert np.allclose([learning_rate(recipe, schedule, step) for step in range(schedule.steps)], theirs, rtol=1e-9)


def _loader(workers: int = 0, text: str = "digits batch=16 flip=yes erase=0.5", crop: str | None = None) -> BatchLoader:
    splits = open_data("digits")
    recipe, _ = resolve_auto(parse_recipe(text), splits)
    train = splits.train.subset(np.arange(50))
    return BatchLoader(
        train, Schedule(50, recipe.batch, recipe.epochs), recipe, preprocessing(recipe, train), 7, workers
    )


def test_batches_do_not_depend_on_where_one_begins() -> None:
    loader = _loader()
    whole = list(loader.batches(0, 8))
    for start in range(8):
        again = next(loader.batches(start, 8))
        assert np.array_equal(again.images, whole[start].images)
        assert np.array_equal(again.labels, whole[start].labels)
    names = [name for batch in whole[:4] for name in batch.names]
    assert sorted(names) == sorted(loader.data.path(i) for i in range(50))
    assert names != [name for batch in whole[4:] for name in batch.names]
    assert not np.array_equal(whole[0].images, next(_loader_of_seed(8).batches(0, 1)).images)


def _loader_of_seed(seed: int) -> BatchLoader:
    return replace(_loader(), seed=seed)


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_workers_do_not_change_a_pixel(workers: int, photos) -> None:  # type: ignore[no-untyped-def]
    def batches(count: int) -> list[np.ndarray]:  # type: ignore[type-arg]
        recipe, _ = resolve_auto(parse_recipe("default batch=4 size=16 erase=0.5"), photos)
        train = photos.train
        loader = BatchLoader(train, Schedule(len(train), 4, 30), recipe, preprocessing(recipe, train), 1, count)
        return [batch.images for batch in loader.batches(1, 7)]

    for one, other in zip(batches(0), batches(workers), strict=True):
        assert np.array_equal(one, other)


def test_a_batch_is_the_permutation_and_augmentation_of_its_positions(photos) -> None:  # type: ignore[no-untyped-def]
    """Against data/'s own functions, put together for the whole epoch at once."""
    recipe, _ = resolve_auto(parse_recipe("default batch=4 size=16 erase=0.5"), photos)
    train, seed, epoch = photos.train, 6, 1
    pre, schedule = preprocessing(recipe, train), Schedule(len(train), 4, 2)
    batches = list(BatchLoader(train, schedule, recipe, pre, seed).batches(schedule.steps_per_epoch, schedule.steps))
    positions, chosen = np.arange(len(train)), permutation(len(train), seed, epoch)
    read = [train.read(int(i), "RGB", 32) for i in chosen]
    draws = crop_draws(seed, epoch, positions)
    boxes = [crop_box(d, *p.shape[:2], scale=(0.35, 1.0)) for d, p in zip(draws, read, strict=True)]
    augmented = np.stack([resize_box(p, b, (16, 16)) for p, b in zip(read, boxes, strict=True)])
    augmented = flip(augmented, flips(seed, epoch, positions))
    augmented = erase(
        augmented, erase_boxes(seed, epoch, positions, 16, 16, share=0.5), np.round(np.array(pre.mean) * 255)
    )
    assert np.array_equal(np.concatenate([batch.images for batch in batches]), augmented)
    names = [name for batch in batches for name in batch.names]
    labels = np.concatenate([batch.labels for batch in batches])
    assert [Path(name).parent.name for name in names] == [train.classes[label] for label in labels]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_network_sees_what_the_evaluation_sees(mode: str) -> None:
    """Every value that a byte can have, in every channel, against images.normalise."""
    channels = 3 if mode == "RGB" else 1
    std = (0.2, 0.3, 0.05)[:channels]
    pre = Preprocessing(mode=mode, resize_px=None, crop_px=16, mean=(0.4, 0.9, 0.1)[:channels], std=std)  # type: ignore[arg-type]
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(channels, axis=3)
    images = np.concatenate([images, images[:, ::-1]])
    found, expected = to_tensor(images, pre, torch.device("cpu")), normalise(images, pre)
    assert found.dtype == torch.float32 and found.shape == (2, channels, 16, 16) and len(np.unique(expected)) > 250
    assert np.abs(found.numpy() - expected).max() < 3e-6  # of 18
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_an_image_that_vanishes_is_skipped_and_named(photos) -> None:  # type: ignore[no-untyped-def]
    recipe, _ = resolve_auto(parse_recipe("default batch=4 size=16"), photos)
    loader = BatchLoader(
        photos.train, Schedule(len(photos.train), 4, 1), recipe, preprocessing(recipe, photos.train), 1, 2
    )
    first = next(loader.batches(0, 1))
    Path(first.names[1]).write_bytes(b"gone")
    again = next(loader.batches(0, 1))
    assert [type(row) for row in again.skipped] == [Skipped]
    assert again.skipped[0].path == first.names[1]
    assert list(again.names) == [name for name in first.names if name != first.names[1]]
    keep = [0, *range(2, len(first.names))]
    assert np.array_equal(again.images, first.images[keep])


def test_fold_uses_every_bit() -> None:
    """torch's CPU generator takes the lower 32 bits of a seed: seeds 2^32 apart would draw the same."""
    seen = {fold(seed << shift, step) for seed in (1, 2, 3) for shift in (0, 20, 32, 50) for step in (-1, 0, 1, 2)}
    assert len(seen) == 3 * 4 * 4
    assert max(seen) < 2**32


def test_seeded_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1, 2):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), wanted)
    with seeded(1, 2):
        assert torch.equal(torch.rand(3), inside)


def test_bf16_only_where_the_processor_multiplies_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for flags, wanted in {"avx2 avx512f": False, "avx512f avx512_bf16": True, "amx_tile amx_bf16": True}.items():
        info = tmp_path / flags.replace(" ", "-")
        info.write_text(f"model name\t: some\nflags\t\t: fpu {flags} sse\n")
        assert processor.multiplies_bf16(info) is wanted
    assert processor.flags(tmp_path / "none") == frozenset()


def test_tiny_images_are_not_shared_between_threads(photos) -> None:  # type: ignore[no-untyped-def]
    digits = prepare("resnet20", open_data("digits"), parse_recipe("digits"), None)
    large = prepare("resnet18", photos, parse_recipe("default size=224"), None)
    assert (default_threads(digits), default_threads(large)) == (1, None)


def test_one_image_is_no_training_set() -> None:
    splits = open_data("digits")
    with pytest.raises(DataError, match="There is 1 training image,"):
        resolve_auto(parse_recipe("digits"), replace(splits, train=splits.train.subset(np.arange(1))))


def test_mean_and_deviation_are_the_training_pixels() -> None:
    train = open_data("digits").train
    pre = preprocessing(parse_recipe("digits size=8"), train)
    pixels = train.images.astype(np.float64) / 255  # type: ignore[union-attr]
    assert math.isclose(pre.mean[0], pixels.mean(), abs_tol=1e-4)
    assert math.isclose(pre.std[0], pixels.std(), abs_tol=1e-4)


def test_deterministic_algorithms_are_on_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    for kind, wanted in (("cpu", False), ("cuda", True)):
        with deterministic(torch.device(kind)):
            assert torch.are_deterministic_algorithms_enabled() is wanted
        assert not torch.are_deterministic_algorithms_enabled()
