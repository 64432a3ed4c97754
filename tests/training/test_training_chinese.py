"""Errors and notes of a training in Chinese: no English sentence is left, and every value of the English is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from plusx.errors import PlusxError
from plusx.i18n import translate
from plusx.nn import build
from plusx.training import RunOptions, Started, TrainingRun, parse_recipe, resume
from plusx.training import step as step_module
from plusx.training.schedule import Schedule, require_batch_sizes
from plusx.training.step import StepResult, Trainer
from training.tinyrun import network, splits, started, stopped_after

SENTENCE = re.compile(r"\b[A-Za-z]?[a-z]+ [a-z]+ [a-z]+\b")


def _diverge(tmp_path: Path) -> None:
    net = build("resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 in_channels=1")
    recipe = parse_recipe("digits precision=fp32")
    trainer = Trainer(net, recipe, Schedule(40, 32, 1), 0, torch.device("cpu"), "fp32")
    trainer.train_step(np.full((4, 1, 8, 8), np.nan, np.float32), np.arange(4), [f"{i}.png" for i in range(4)])


def _other_data(tmp_path: Path) -> None:
    stopped_after(tmp_path / "run", 2)
    resume(tmp_path / "run", data=replace(splits(), train=splits().train.subset(np.arange(89))))


def _seed_again(tmp_path: Path) -> None:
    stopped_after(tmp_path / "run", 2)
    resume(tmp_path / "run", RunOptions(seed=9), data=splits())


WRONG: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "loss": (_diverge, ("NaN", "0.png", "--recipe", "lr=0.01")),
    "data": (_other_data, ("90", "89", "--weights")),
    "resume": (_seed_again, ("seed", "run.json")),
    "batch": (lambda _: require_batch_sizes(Schedule(10, 1, 1), 1), ("batch=1", "norm=group8")),
    "shares": (lambda _: require_batch_sizes(Schedule(40, 4, 1), 4), ("batch=4",)),
    "classes": (lambda out: TrainingRun.create("resnet20 classes=3", splits(), None, out / "r"), ("classes=3", "10")),
    "minutes": (lambda _: RunOptions(minutes=0), ("minutes=0",)),
    "recipe": (lambda _: parse_recipe("lr=0.1"), ("lr=0.1", "default")),
    "device": (
        lambda out: TrainingRun.create(network(), splits(), None, out / "r", RunOptions(device="tpu")),
        ("tpu",),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_is_all_chinese(what: str, tmp_path: Path) -> None:
    act, values = WRONG[what]
    with pytest.raises(PlusxError) as caught:
        act(tmp_path)
    text = translate(caught.value.message, "zh")
    assert not SENTENCE.search(text) and re.search(r"[一-鿿]{4}", text), text
    assert SENTENCE.search(str(caught.value))  # the control: the English would be found
    assert all(value in text and value in str(caught.value) for value in values), text


def test_a_failure_in_a_run_keeps_its_translation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop adds the last checkpoint to the trainer's error without losing the template."""
    train_step = step_module.Trainer.train_step

    def poisoned(self: Trainer, images: np.ndarray, *rest: object) -> StepResult:  # type: ignore[type-arg]
        bad = self.progress.step == 8 and (tmp_path / "run" / "run.json").exists()
        return train_step(self, np.full((len(images), 1, 8, 8), np.nan, np.float32) if bad else images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(step_module.Trainer, "train_step", poisoned)
    with pytest.raises(PlusxError) as caught:
        list(started(tmp_path / "run", checkpoint_steps=3))
    text = translate(caught.value.message, "zh")
    assert "step-00000006" in text and "最近的完整检查点" in text and not SENTENCE.search(text), text


def test_notes_are_chinese(tmp_path: Path) -> None:
    recipe = "digits epochs=1 batch=16 precision=fp32"
    words = "resnet18 depths=1,1 widths=4,8 stem_width=4"
    run = TrainingRun.create(words, splits(), recipe, tmp_path / "run", RunOptions(device="cpu", threads=1))
    first = next(run.events())
    assert isinstance(first, Started)
    (note,) = [note for note in first.notes if "stem=3x3 fits better" in note]
    assert "更合适" in translate(note, "zh")
