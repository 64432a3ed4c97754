"""The recipes probe and auto: stages that begin while there is time and they pay, and that lose nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plusx
from plusx.bundles import open_bundle, read_run
from plusx.bundles.runs import read_run_row
from plusx.data import Splits, open_data
from plusx.errors import SpecError, WeightsError
from plusx.training import folds, staged
from plusx.training.api import resume
from plusx.training.events import Finished, StageEnded, StagesStarted
from plusx.training.options import RunOptions
from plusx.training.signals import Stop

NET = "resnet20 depths=1,1,1 widths=8,16,32 stem_width=8"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def splits() -> Splits:
    whole = open_data("digits")
    return Splits(whole.train.subset(np.arange(200)), whole.val.subset(np.arange(100)), size_px=8)


@pytest.fixture(scope="module")
def weights(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that tells small digits from large ones."""
    out = tmp_path_factory.mktemp("weights") / "run"

    def halves(data: Any) -> Any:
        return replace(data, labels=data.labels // 5, classes=("0 to 4", "5 to 9"))

    for _event in plusx.fit(NET, Splits(halves(splits.train), halves(splits.val), size_px=8), "digits epochs=3", out):
        pass
    return out


def run(splits: Splits, weights: Path, out: Path, recipe: str | None = None, **options: Any) -> list[Any]:
    return list(plusx.fit(None, splits, recipe, out, RunOptions(weights=weights, threads=1, **options)))


def ended(events: list[Any]) -> dict[str, StageEnded]:
    return {event.name: event for event in events if isinstance(event, StageEnded)}


def test_a_probe_is_a_run_with_a_bundle(splits: Splits, weights: Path, tmp_path: Path) -> None:
    events = run(splits, weights, tmp_path / "run", "probe")
    assert isinstance(events[0], StagesStarted) and events[0].stages == ("probe", "views")
    stage, finished = ended(events)["probe"], events[-1]
    assert isinstance(finished, Finished) and finished.reason == "done"
    assert stage.best and stage.top1 > 0.5
    found = plusx.evaluate(tmp_path / "run", splits.val)
    assert found.correct == round(stage.top1 * stage.n)
    before, after = open_bundle(weights), open_bundle(tmp_path / "run")
    assert after.classes == splits.train.classes
    own = {name: np.asarray(array) for name, array in before.weights().items() if not name.startswith("fc.")}
    assert all(np.array_equal(array, after.weights()[name]) for name, array in own.items())
    row = read_run_row(tmp_path / "run")
    assert (row.state, row.epochs_done, row.epochs) == ("done", 2, 2)
    assert (tmp_path / "run" / "report.html").is_file()
    assert not (tmp_path / "run" / "checkpoints" / "first").exists()


def test_auto_is_what_weights_without_a_recipe_get(splits: Splits, weights: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staged.Evidence, "is_better_than", lambda *_: True)  # so that every stage is tried
        events = run(splits, weights, tmp_path / "run", "size=8", minutes=30)
    stages = ended(events)
    assert list(stages) == ["probe", "views", "layer4", "finetune"] and all(stage.n for stage in stages.values())
    tried = [stage for stage in stages.values() if stage.n]
    best = [stage for stage in tried if stage.best][-1]
    frozen = {"layer4": "layer2", "finetune": "stem"}
    for stage in tried[2:]:
        assert read_run(tmp_path / "run" / stage.name).recipe["freeze"] == frozen[stage.name]
    assert events[-1].kept["stage"] == best.name
    assert plusx.evaluate(tmp_path / "run", splits.val).correct == round(best.top1 * best.n)
    assert read_run_row(tmp_path / "run").state == "done"
    assert not (tmp_path / "run" / "maps").exists()
    again = list(resume(tmp_path / "run", data=splits))
    assert not ended(again) and again[-1].kept == events[-1].kept


def test_a_stage_without_time_is_not_begun(splits: Splits, weights: Path, tmp_path: Path) -> None:
    stages = ended(run(splits, weights, tmp_path / "run", minutes=1e-3))
    assert stages["probe"].n == len(splits.val)
    assert stages["layer4"].n == 0 and "it needs" in stages["layer4"].why
    assert not (tmp_path / "run" / "layer4").exists()


def test_no_stage_follows_one_that_did_not_pay(splits: Splits, weights: Path, tmp_path: Path) -> None:
    """A learning rate that destroys the network: the probe stays, and nothing is tried after it."""
    whole = staged.preset

    def harmful(name: str) -> Any:
        return whole(name) if name == "auto" else whole(name).replace(lr=30.0, warmup=0.0, epochs=3, ema=0.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staged, "preset", harmful)
        events = run(splits, weights, tmp_path / "run", "auto flip=no", minutes=30)
    stages = ended(events)
    assert not stages["layer4"].best
    assert stages["finetune"].n == 0 and "layer4" in stages["finetune"].why
    assert events[-1].kept["stage"] == "probe"


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


@pytest.mark.parametrize("calls", [1, 30, 90])
def test_an_interrupted_run_goes_on_to_the_same_end(
    splits: Splits, weights: Path, tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = staged.preset
    monkeypatch.setattr(staged, "preset", lambda name: whole(name).replace(epochs=3) if name != "auto" else whole(name))
    events = run(splits, weights, tmp_path / "whole", "auto flip=no", minutes=60)
    first = run(splits, weights, tmp_path / "run", "auto flip=no", minutes=60, stop=StopAfter(calls))
    assert first[-1].reason == "SIGINT"
    if first[-1].kept is not None:
        assert open_bundle(tmp_path / "run").metrics["stage"] == first[-1].kept["stage"]
    again = list(resume(tmp_path / "run", data=splits))
    assert again[-1].reason == "done"
    for name in ("probe", "layer4"):
        one, other = (open_bundle(tmp_path / run / name).weights() for run in ("whole", "run"))
        assert all(np.array_equal(one[key], other[key]) for key in one), name
    assert again[-1].kept["stage"] == events[-1].kept["stage"]


def test_stages_need_weights_that_fit(splits: Splits, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--weights"):
        plusx.fit(NET, splits, "probe", tmp_path / "run")
    with pytest.raises(WeightsError, match="do not fit"):
        run_other = plusx.fit("resnet20", splits, "probe", tmp_path / "run", RunOptions(weights=weights))
        list(run_other)
    assert not (tmp_path / "run").exists()


def test_keys_without_a_meaning_there_are_refused(splits: Splits, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="epochs"):
        run(splits, weights, tmp_path / "run", "probe epochs=5")
    with pytest.raises(SpecError, match="lr"):
        run(splits, weights, tmp_path / "run", "auto lr=0.1")


def test_layer4_by_itself_begins_at_the_probe(splits: Splits, weights: Path, tmp_path: Path) -> None:
    """Its first evaluation follows one epoch with a tiny learning rate, so it is the probe's."""
    probe = ended(run(splits, weights, tmp_path / "probe", "probe"))["probe"]
    events = run(splits, weights, tmp_path / "run", "layer4 freeze=layer2 epochs=1 lr=1e-9 ema=0 views=1 keep=last")
    found = open_bundle(tmp_path / "run").weights()
    probed = open_bundle(tmp_path / "probe").weights()
    assert np.allclose(found["fc.weight"], probed["fc.weight"], atol=1e-6)
    assert np.std(found["fc.weight"]) > 1e-3
    assert events[-1].reason == "done" and probe.best
    assert read_run(tmp_path / "run").recipe["head"] == "probe"
    state = json.loads((tmp_path / "run" / "run.json").read_text())
    assert state["recipe"]["freeze"] == "layer2"


@pytest.fixture(scope="module")
def few(splits: Splits) -> Splits:
    return Splits(splits.train, splits.val.subset(np.arange(40)), size_px=8)


def test_with_few_held_out_images_folds_judge(
    few: Splits, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = staged.preset
    short = {"epochs": 3, "views": 2}
    monkeypatch.setattr(
        staged, "preset", lambda name: whole(name).replace(**short) if name == "layer4" else whole(name)
    )
    asked: list[tuple[Any, Any]] = []

    def verdict(pays: bool) -> Any:
        def is_better_than(one: Any, other: Any) -> bool:
            asked.append((one, other))
            return pays

        return is_better_than

    monkeypatch.setattr(staged.Evidence, "is_better_than", verdict(True))
    stages = ended(run(few, weights, tmp_path / "yes", "auto flip=no", minutes=60))
    assert stages["layer4"].n == 40 and stages["layer4"].best
    assert "too few" in stages["finetune"].why
    assert open_bundle(tmp_path / "yes").metrics["stage"] == "layer4"
    assert read_run(tmp_path / "yes" / "layer4").recipe["keep"] == "last"
    monkeypatch.setattr(staged.Evidence, "is_better_than", verdict(False))
    stages = ended(run(few, weights, tmp_path / "no", "auto flip=no", minutes=60))
    assert stages["layer4"].n == 0 and "in folds" in stages["layer4"].why
    assert "layer4" in stages["finetune"].why
    assert open_bundle(tmp_path / "no").metrics["stage"] == "probe"
    trained, probed = asked[0]
    assert trained.n == probed.n == len(few.train)
    assert 0.3 * trained.n < trained.right < trained.n


def test_no_fold_is_judged_by_a_network_that_saw_it(
    few: Splits, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the classifier that a fold's training starts with nor its batches have seen an image that is tested."""
    whole, fitted, trained, tested = staged.preset, [], [], []
    monkeypatch.setattr(
        staged, "preset", lambda name: whole(name).replace(epochs=1, views=1) if name == "layer4" else whole(name)
    )
    refit, batches_of, of = folds.refit, folds.MapLoader.batches_of, staged.Evidence.of

    def refit_spy(probe: Any, vectors: Any, *arguments: Any, **more: Any) -> Any:
        fitted.append({row.tobytes() for row in vectors})
        return refit(probe, vectors, *arguments, **more)

    def batches_spy(self: Any, images: Any, *arguments: Any) -> Any:
        trained.append(set(images.tolist()))
        return batches_of(self, images, *arguments)

    monkeypatch.setattr(folds, "refit", refit_spy)
    monkeypatch.setattr(folds.MapLoader, "batches_of", batches_spy)
    monkeypatch.setattr(staged.Evidence, "of", lambda logits, labels: tested.append(labels) or of(logits, labels))
    run(few, weights, tmp_path / "run", "auto flip=no", minutes=60)
    everything = set(range(len(few.train)))
    held = [everything - images for images in trained[: folds.FOLDS]]
    assert sorted(image for fold in held for image in fold) == sorted(everything)
    labels = few.train.labels
    assert all(sorted(labels[sorted(fold)]) == sorted(found) for fold, found in zip(held, tested, strict=False))
    assert [len(vectors) for vectors in fitted] == [len(images) for images in trained[: folds.FOLDS]]
