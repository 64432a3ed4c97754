"""Training from weights: what is frozen does not change, and maps kept behind it give the same training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import plusx
from plusx.bundles import open_bundle
from plusx.errors import BundleError, SpecError, WeightsError
from plusx.training import maps
from plusx.training.api import resume
from plusx.training.events import Evaluated, Finished, Prepared, Started
from plusx.training.options import RunOptions
from plusx.training.run import TrainingRun
from plusx.training.signals import Stop

NET = "resnet20 depths=1,1,1 widths=8,16,32 stem_width=8"
RECIPE = "default epochs=4 batch=64 views=2 freeze=layer2 head=new lr=0.05 crop=shift ema=0.9"


@pytest.fixture(scope="module")
def splits() -> plusx.data.Splits:  # type: ignore[name-defined]
    from plusx.data import Splits, open_data

    whole = open_data("digits")
    return Splits(whole.train.subset(np.arange(300)), whole.val.subset(np.arange(150)), size_px=whole.size_px)


@pytest.fixture(scope="module")
def weights(splits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on the even digits alone, so that the ten digits are other classes."""
    from plusx.data import Splits

    def even(data: Any) -> Any:
        (chosen,) = np.nonzero(data.labels % 2 == 0)
        part = data.subset(chosen)
        return replace(part, labels=part.labels // 2, classes=part.classes[::2])

    out = tmp_path_factory.mktemp("weights") / "run"
    for _event in plusx.fit(NET, Splits(even(splits.train), even(splits.val), size_px=8), "digits epochs=2", out):
        pass
    return out


def events(splits: Any, weights: Path, out: Path, recipe: str = RECIPE, **options: Any) -> list[Any]:
    return list(plusx.fit(None, splits, recipe, out, RunOptions(weights=weights, threads=1, **options)))


def tensors(run: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(array) for name, array in open_bundle(run).weights().items()}


def test_frozen_tensors_keep_their_bits_and_the_others_move(splits: Any, weights: Path, tmp_path: Path) -> None:
    events(splits, weights, tmp_path / "run")
    before, after = tensors(weights), tensors(tmp_path / "run")
    frozen = [name for name in before if name.startswith(("conv1", "bn1", "layer1", "layer2"))]
    assert any("running_mean" in name for name in frozen)
    assert all(np.array_equal(before[name], after[name]) for name in frozen)
    moved = [name for name in before if name.startswith("layer3") and before[name].ndim]
    assert all(not np.array_equal(before[name], after[name]) for name in moved)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_kept_maps_train_as_the_same_views_computed_anew(
    splits: Any, weights: Path, tmp_path: Path, precision: str
) -> None:
    recipe = f"{RECIPE} precision={precision}"
    run = TrainingRun.create(None, splits, recipe, tmp_path, RunOptions(weights=weights, threads=1))
    plain = run.trainer(run.setup.network(0))
    plain.maps_after = None
    for batch in run.loader().batches(0, run.schedule.steps):
        plain.train_step(batch.images, batch.labels, batch.names)
    cached = run.trainer(run.setup.network(0))
    loader = run.map_loader(cached.network)
    for _done in loader.fill(lambda: False):
        pass
    for batch in loader.batches(0, run.schedule.steps):
        cached.train_step(batch.images, batch.labels, batch.names)
    theirs, ours = plain.network.state_dict(), cached.network.state_dict()
    start = run.setup.network(0).state_dict()
    assert any(not torch.equal(theirs[name], start[name]) for name in theirs)
    for name, tensor in theirs.items():
        if tensor.is_floating_point():  # maps in bf16 lose nothing where training computes in bf16
            within = 0.0 if precision == "bf16" else 0.1 * float((tensor - start[name]).norm())
            assert float((tensor - ours[name]).norm()) <= within, name


def test_validation_from_maps_is_that_of_the_whole_network(splits: Any, weights: Path, tmp_path: Path) -> None:
    found = events(splits, weights, tmp_path / "run")
    last = next(event for event in reversed(found) if isinstance(event, Evaluated) and event.best)
    evaluation = plusx.evaluate(
        tmp_path / "run", splits.val, options=plusx.runtime.engines.EngineOptions(engine="torch", precision="fp32")
    )  # type: ignore[attr-defined]
    assert evaluation.correct == round(last.top1 * last.n)
    assert evaluation.nll == pytest.approx(last.nll, abs=1e-5)


class StopAfter(Stop):
    """Asks to stop when it was asked so many times."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def __call__(self) -> bool:
        self.left -= 1
        if self.left < 0:
            self.signal = 2
        return self.signal is not None


@pytest.mark.parametrize("calls", [20, 27, 33])
def test_an_interruption_anywhere_changes_no_bit(splits: Any, weights: Path, tmp_path: Path, calls: int) -> None:
    events(splits, weights, tmp_path / "whole")
    first = events(splits, weights, tmp_path / "run", stop=StopAfter(calls), checkpoint_steps=3)
    assert isinstance(first[-1], Finished) and first[-1].reason == "SIGINT"
    again = list(resume(tmp_path / "run", data=splits))
    assert again[-1].reason == "done"
    assert not (tmp_path / "run" / "maps").exists()
    one, other = tensors(tmp_path / "whole"), tensors(tmp_path / "run")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_maps_of_other_weights_are_not_taken(splits: Any, weights: Path, tmp_path: Path) -> None:
    """The key holds what the maps depend on: with another seed or other weights they are computed anew."""
    place = tmp_path / "maps"
    counts = []
    for name, more in {"a": {}, "b": {}, "c": {"seed": 1}}.items():
        found = events(splits, weights, tmp_path / name, maps=place, **more)
        counts.append(sum(isinstance(event, Prepared) for event in found))
    assert counts[0] > 0
    assert counts[1] == 0
    assert counts[2] == counts[0]


@pytest.mark.parametrize("damage", ["short", "gone", "key", "words"])
def test_damaged_maps_are_computed_again(splits: Any, weights: Path, tmp_path: Path, damage: str) -> None:
    place = tmp_path / "maps"
    events(splits, weights, tmp_path / "a", maps=place)
    state = json.loads((place / maps.DESCRIPTION).read_text())
    if damage == "short":
        (place / "train.bf16").write_bytes(b"12")
    elif damage == "gone":
        (place / "val.f32").unlink()
    elif damage == "key":
        (place / maps.DESCRIPTION).write_text(json.dumps({**state, "key": "other"}))
    else:
        (place / maps.DESCRIPTION).write_text('{"key": []')
    events(splits, weights, tmp_path / "b", maps=place)
    one, other = tensors(tmp_path / "a"), tensors(tmp_path / "b")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_fewer_views_where_the_disk_is_small(
    splits: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = maps.MapShape(2, 300, 150, (16, 4, 4))
    assert shape.view_bytes == 300 * 16 * 16 * 2
    monkeypatch.setattr(maps, "_free", lambda _path: maps.SPARE_BYTES + shape.bytes(1) + 5)
    started = next(event for event in events(splits, weights, tmp_path / "a") if isinstance(event, Started))
    assert "views=1" in started.recipe
    monkeypatch.setattr(maps, "_free", lambda _path: maps.SPARE_BYTES + shape.bytes(1) - 5)
    with pytest.raises(BundleError, match="views=0"):
        events(splits, weights, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_stages_learn_at_their_share_and_thaw_in_time(splits: Any, weights: Path, tmp_path: Path) -> None:
    recipe = "default epochs=2 batch=64 freeze=layer2 thaw=1 layer_decay=0.5 lr=0.01 head=new"
    run = TrainingRun.create(None, splits, recipe, tmp_path / "run", RunOptions(weights=weights, threads=1))
    trainer = run.trainer(run.network)
    shares = {group["name"].removesuffix(", no decay"): group["share"] for group in trainer.optimiser.param_groups}
    assert shares == {"stem": 0.0625, "layer1": 0.125, "layer2": 0.25, "layer3": 0.5, "head": 1.0}
    steps = run.schedule.steps_per_epoch
    start = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    for step, batch in enumerate(run.loader().batches(0, run.schedule.steps)):
        if step == steps:
            assert all(torch.equal(t, start[n]) for n, t in trainer.network.state_dict().items() if "layer1" in n)
        trainer.train_step(batch.images, batch.labels, batch.names)
    assert not torch.equal(trainer.network.state_dict()["layer1.0.conv1.weight"], start["layer1.0.conv1.weight"])
    assert not torch.equal(trainer.network.state_dict()["bn1.running_mean"], start["bn1.running_mean"])


def test_images_are_prepared_as_for_the_weights(weights: Path, tmp_path: Path, photos: Path) -> None:
    """RGB photos, grey weights of 8 pixels: their size, mean and deviation."""
    run = TrainingRun.create(None, photos, "default epochs=1", tmp_path / "run", RunOptions(weights=weights))
    own = open_bundle(weights).preprocessing
    assert (run.setup.preprocessing.mode, run.setup.preprocessing.crop_px) == ("L", 8)
    assert (run.setup.preprocessing.mean, run.setup.preprocessing.std) == (own.mean, own.std)
    assert run.setup.spec.in_channels == 1
    assert any("grey" in str(note) for note in run.setup.notes)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("default views=2", "freeze"),
        ("default freeze=layer2 views=2 thaw=1", "thaw"),
        ("default freeze=layer2 views=2 size_from=4", "size_from"),
        ("default freeze=layer9", "freeze"),
        ("default freeze=layer4", "layer4"),
        ("default head=keep", "head=keep"),
        ("default layer_decay=0", "layer_decay"),
    ],
)
def test_what_contradicts_is_refused(splits: Any, weights: Path, tmp_path: Path, recipe: str, says: str) -> None:
    with pytest.raises((SpecError, WeightsError, plusx.errors.GeometryError), match=says):
        events(splits, weights, tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()


def test_freezing_random_weights_is_refused(splits: Any, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--weights"):
        plusx.fit(NET, splits, "default freeze=layer2", tmp_path / "run")
