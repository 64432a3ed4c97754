"""TrainingRun and RunOptions: everything is decided before the trainer exists, and nothing is taken that is not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plusx.bundles import open_bundle, read_run
from plusx.errors import SpecError
from plusx.training import RunOptions, Started, TrainingRun, resume
from plusx.training import run as run_module
from plusx.training.estimate import TrainingSpeed
from plusx.training.options import IDENTITY
from plusx.training.step import Trainer
from training.tinyrun import network, resumed, splits, started, stopped_after


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("val_split", 0.0), ("val_split", 1.0), ("minutes", 0.0), ("minutes", float("nan")), ("threads", 0),
        ("workers", -1), ("checkpoint_seconds", 0.0), ("checkpoint_steps", 0),
    ],
)  # fmt: skip
def test_options_are_checked_when_they_are_made(option: str, value: Any) -> None:
    with pytest.raises(SpecError, match=rf"{option}={value:g}"):
        RunOptions(**{option: value})


@pytest.mark.parametrize("option", IDENTITY)
def test_a_resumed_run_refuses_what_it_has_of_its_own(option: str, tmp_path: Path) -> None:
    """A seed that is accepted and ignored would be silently wrong. The others are taken."""
    stopped_after(tmp_path / "run", 2)
    value: Any = {"seed": 4, "val_split": 0.5, "minutes": 1.0}.get(option, "x")
    with pytest.raises(SpecError, match=option):
        resume(tmp_path / "run", RunOptions(**{option: value}), data=splits())
    assert isinstance(next(resumed(tmp_path / "run", checkpoint_steps=1)), Started)


def test_the_schedule_is_final_before_the_trainer_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trainers are made: the probe with the recipe's 50 epochs, then the run's own with those that fit."""
    epochs: list[tuple[int, int]] = []
    make = Trainer.__post_init__

    def watched(self: Trainer) -> None:
        epochs.append((self.schedule.epochs, self.recipe.epochs))
        make(self)

    monkeypatch.setattr(Trainer, "__post_init__", watched)
    monkeypatch.setattr(run_module, "measure_speed", lambda *_: TrainingSpeed(0.5, 0.1))
    # an epoch takes 6 · 0.5 + 30 · 0.1 = 6 seconds
    first, *_, last = started(tmp_path / "run", "digits epochs=50 batch=16 precision=fp32", minutes=0.3)
    assert epochs == [(50, 50), (3, 3)]
    assert isinstance(first, Started) and (first.epochs, first.steps) == (3, 18)
    assert any("3 of 50 epochs fit into 0.3 minutes" in note for note in first.notes)
    assert read_run(tmp_path / "run").recipe["epochs"] == 3
    assert open_bundle(tmp_path / "run").provenance.recipe["epochs"] == 3
    assert last.step == 18


def test_a_run_is_decided_without_a_file(tmp_path: Path) -> None:
    run = TrainingRun.create(
        network(), splits(), "digits epochs=2 batch=16", tmp_path / "run", RunOptions(device="cpu")
    )
    assert not (tmp_path / "run").exists()
    assert run.schedule.steps == 12 and run.setup.recipe.size == 8 and not run.resumes
    stopped_after(tmp_path / "run", 2)
    again = TrainingRun.load(tmp_path / "run", RunOptions(device="cpu"), splits())
    assert again.resumes and again.schedule == run.schedule and again.seed == 3
