"""A run in stages is a run: one writer, what decides sealed, and killed or stripped it is resumed exactly or refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plusx.bundles import open_bundle, read_lines, read_run
from plusx.bundles.runs import find_runs, read_run_row
from plusx.bundles.writing import run_holder
from plusx.data import Splits, open_data
from plusx.errors import BundleError, RunError
from plusx.training import RunOptions, Step, Stop, fit, resume, staged
from plusx.training.events import StageEnded
from training.killing import killed

pytestmark = pytest.mark.forks

NET = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: a forked child finds the vectors there, and opens no engine, which it may not."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    whole = staged.preset
    monkeypatch.setenv("PLUSX_CACHE", str(cache))
    monkeypatch.setattr("plusx.training.claims.PATIENCE_S", 0.05)
    monkeypatch.setattr(
        staged, "preset", lambda name: whole(name) if name in staged.STAGES else whole(name).replace(epochs=1)
    )


@pytest.fixture(scope="module")
def splits() -> Splits:
    """As many held-out images as a stage is judged by without folds."""
    whole = open_data("digits")
    return replace(whole, train=whole.train.subset(np.arange(120)), val=whole.val.subset(np.arange(staged.FEW)))


@pytest.fixture(scope="module")
def weights(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights") / "run"
    list(fit(NET, splits, "digits epochs=1", out, RunOptions(threads=1)))
    return out


@pytest.fixture(scope="module")
def probed(splits: Splits, weights: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("probed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUSX_CACHE", str(cache))
        list(begun(splits, weights, out, "probe"))
    return out


def begun(splits: Splits, weights: Path, out: Path | None, recipe: str = "auto", **options: Any) -> Iterator[Any]:
    asked = RunOptions(weights=weights, threads=1, minutes=None if recipe == "probe" else 60, **options)
    return fit(None, splits, recipe, out, asked)


def same_weights(one: Path, other: Path) -> bool:
    return open_bundle(one).weights_sha256 == open_bundle(other).weights_sha256


def test_one_writer_of_the_run_and_of_each_stage(splits: Splits, weights: Path, tmp_path: Path) -> None:
    """In this process and another, beside a stage at work, whose own directory has a lock of its own."""
    run, stop = tmp_path / "run", Stop()
    events = begun(splits, weights, run, stop=stop)
    assert any(isinstance(event, Step) for event in events)
    for at in (run, run / "layer4"):
        with pytest.raises(BundleError, match="This process is training"):
            list(resume(at, data=splits))
    with pytest.raises(BundleError, match="already holds a run"):
        begun(splits, weights, run)
    said, other = os.pipe()
    if not os.fork():
        with suppress(BaseException):
            try:
                list(resume(run, data=splits))
            except BundleError as error:
                os.write(other, str(error).encode())
        os._exit(0)
    os.wait()
    assert os.read(said, 1000).decode().startswith(f"{run} is being trained by process {os.getpid()} on ")
    assert read_run_row(run).state == "running" and find_runs(tmp_path) == [run]
    stop.signal = 2
    assert list(events)[-1].reason == "SIGINT"
    assert run_holder(run) is None and run_holder(run / "layer4") is None
    assert read_run_row(run).state == "interrupted"
    assert list(resume(run, data=splits))[-1].reason == "done"
    assert not list(run.rglob("*.lock"))


def test_runs_without_a_name_are_numbered(
    splits: Splits, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    both = [begun(splits, weights, None, "probe") for _ in range(2)]  # decided before either begins
    taken = [next(events).run for events in both]
    assert [path.name[-3:] for path in taken] == ["001", "002"]
    for events in both:
        assert list(events)[-1].reason == "done"


@pytest.mark.parametrize("key", ["stages", "minutes", "first_weights"])
def test_what_decides_is_sealed(key: str, splits: Splits, weights: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    events = begun(splits, weights, run)
    next(events)
    events.close()  # type: ignore[attr-defined]
    found = json.loads((run / "run.json").read_text())
    assert read_run(run).first_weights == open_bundle(weights).weights_sha256
    found[key] = {"stages": ["probe"], "minutes": 61.0, "first_weights": None}[key]
    (run / "run.json").write_text(json.dumps(found))
    with pytest.raises(BundleError, match="was changed after it was written"):
        resume(run, data=splits)


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5, 6, 7])
def test_killed_in_its_start_it_is_resumed_or_typed_again(
    call: int, splits: Splits, weights: Path, probed: Path, tmp_path: Path
) -> None:
    """At each rename: of the first weights, run.json, the two bundles, the checkpoints, and what goes then; and at disk writes."""
    overs: list[bool] = []
    for number, phase in enumerate(("between fsync and rename", "before an fsync")):
        run = tmp_path / f"run{number}"
        assert killed(lambda run=run: begun(splits, weights, run, "probe"), phase, call)
        row, over = read_run_row(run), (run / "checkpoints/step-00000002").is_dir()
        overs.append(over)
        try:
            list(resume(run, data=splits))
            assert row.state == ("done" if over else "interrupted")
        except BundleError as error:
            assert "was killed before it began. Run its command again." in str(error)
            assert row.note == "killed before it began; run its command again"
            list(begun(splits, weights, run, "probe"))
        assert same_weights(run, probed) and read_run_row(run).state == "done"
        assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-00000001", "step-00000002"}
    assert call > 6 or overs == [False, False]


def test_killed_within_a_stage_it_goes_on(splits: Splits, weights: Path, tmp_path: Path) -> None:
    list(begun(splits, weights, tmp_path / "whole"))
    assert killed(lambda: begun(splits, weights, tmp_path / "run"), "Step", 1)
    assert (tmp_path / "run/layer4/.plusx.lock").exists() and read_run_row(tmp_path / "run").state == "interrupted"
    list(resume(tmp_path / "run", data=splits))
    assert all(same_weights(tmp_path / "run" / name, tmp_path / "whole" / name) for name in ("layer4", "bundle"))


@pytest.mark.parametrize("stage", [0, 1])
def test_progress_or_weights_that_are_gone_are_not_forgotten(
    stage: int, splits: Splits, weights: Path, tmp_path: Path
) -> None:
    """Removed before the first stage was over, the first weights; after it, the checkpoint that says so."""
    run = tmp_path / "run"
    for event in begun(splits, weights, run):
        if not stage or isinstance(event, StageEnded):
            break
    assert read_run_row(run).state == "interrupted"
    shutil.rmtree(run / "checkpoints" / ("step-00000001" if stage else "first"))
    row = read_run_row(run)
    assert row.state == "damaged" and str(row.note).startswith("its checkpoints are gone")
    with pytest.raises(BundleError, match="has no complete checkpoint left, so it cannot be resumed"):
        list(resume(run, data=splits))


def test_a_finished_run_without_checkpoints_stays_as_it_is(splits: Splits, probed: Path, tmp_path: Path) -> None:
    run = shutil.copytree(probed, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    row = read_run_row(run)
    assert (row.state, row.note, row.epochs_done) == ("done", "its checkpoints were removed", 2)
    assert row.best is not None and row.best.epoch == 1
    with pytest.raises(BundleError, match=r"is finished, and its checkpoints were removed\. .* plusx train --weights"):
        list(resume(run, data=splits))
    assert same_weights(run, probed)


def test_the_log_says_how_it_failed_and_that_it_went_on(
    splits: Splits, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def full(*_: object) -> None:
        raise RunError("The disk is full.")  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(RunError, match="disk is full"):
        patched.setattr(staged.StagedRun, "_keep", full)
        list(begun(splits, weights, run))
    assert (read_run_row(run).state, read_run_row(run).note) == ("failed", "The disk is full.")
    list(resume(run, data=splits))
    rows = list(read_lines(run / "metrics.jsonl"))
    assert [row["event"] for row in rows] == ["started", "started", "stage", "stage", "stage", "stage", "finished"]
    assert rows[-1]["reason"] == "done"
