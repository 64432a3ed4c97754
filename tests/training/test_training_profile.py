"""The profile of a training: its parts are those that ran, its sums agree, and nothing is left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from test_training_lr_range import QUIET, TINY
from tinyrun import network, splits

from plusx.cli.main import main
from plusx.data import Data
from plusx.errors import SpecError
from plusx.training import Finished, RunOptions, Stop, fit
from plusx.training.profiling import STEPS, WARM_UP, TrainingProfile, profile_training
from plusx.training.timing import PARTS, READING

RECIPE = "digits precision=fp32 batch=16"
OPTIONS = RunOptions(device="cpu", threads=1)


def profiled(recipe: str = RECIPE) -> TrainingProfile:
    found = profile_training(network(), splits(), recipe, OPTIONS)
    assert found is not None
    return found


def test_every_part_is_measured_and_none_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, int]] = []
    found = profile_training(network(), splits(), f"{RECIPE} ema=0.9", OPTIONS, on_step=lambda *at: seen.append(at))
    assert found is not None
    most = 3 * (WARM_UP + STEPS)
    assert seen == [(i + 1, most) for i in range(most)]
    for alone, parts in (
        (found.reading, READING),
        (found.stepping, ("input", "forward", "backward", "optimiser", "ema")),
    ):
        assert all(alone.part_ms[part] > 0 for part in parts)
        assert not any(alone.part_ms[part] for part in PARTS if part not in (*parts, "wait"))
        assert 0 < sum(alone.part_ms.values()) <= alone.ms
    assert all(found.training.part_ms[part] > 0 for part in PARTS)
    assert found.limit == pytest.approx(1000 * found.cores / (found.reading.core_ms + found.stepping.core_ms))
    assert not [*tmp_path.iterdir()]


def test_a_slow_part_shows_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """5 ms more for every image read, and nothing else of the reading slower; training waits for it, since digits lie in memory."""
    read, before = Data.read, profiled()

    def slow(self: Data, *args: object) -> np.ndarray:  # type: ignore[type-arg]
        time.sleep(0.005)
        return read(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Data, "read", slow)
    after = profiled()
    assert after.reading.part_ms["decode"] >= 5 > before.reading.part_ms["decode"]
    assert after.training.part_ms["wait"] >= 5 > after.stepping.part_ms["wait"]
    assert after.reading.part_core_ms["decode"] < 5  # it sleeps, so no core is busy


def test_the_trace_has_every_span() -> None:
    found = profiled()
    events = json.loads(found.trace())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert len(spans) == len(found.training.spans) > 5 * STEPS
    assert {span["name"] for span in spans} == {*PARTS} - {"ema"}
    assert min(span["ts"] for span in spans) == 0 and all(span["dur"] >= 0 for span in spans)
    total = sum(span["dur"] for span in spans if span["name"] == "forward") / 1000
    assert total == pytest.approx(found.training.part_ms["forward"] * found.training.n, rel=1e-6)


def test_a_user_ends_it() -> None:
    stop = Stop()
    options = RunOptions(device="cpu", threads=1, stop=stop)
    assert profile_training(network(), splits(), RECIPE, options, on_step=lambda *_: setattr(stop, "signal", 2)) is None


def test_what_has_no_steps_that_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="trains in stages"):
        profile_training(network(), splits(), "auto", OPTIONS)
    *_, last = fit(network(), splits(), "digits epochs=1 precision=fp32", tmp_path / "run", OPTIONS)
    assert isinstance(last, Finished)
    options = RunOptions(device="cpu", threads=1, weights=tmp_path / "run")
    with pytest.raises(SpecError, match="Profile it with views=0"):
        profile_training(None, splits(), "digits freeze=layer2 views=2", options)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command(
    lang: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["train", *TINY, "--data", "digits", "--recipe", "batch=16", "--profile", *QUIET, "--lang", lang]) == 0
    said = capsys.readouterr()
    assert [path.name for path in tmp_path.iterdir()] == ["profile-resnet20-digits.json"]
    assert "profile-resnet20-digits.json" in said.err
    assert all(len(line) <= 80 for line in said.out.splitlines())
    if lang == "en":
        assert "backward" in said.out and "images/s with batch=16" in said.out
    assert main(["train", *TINY, "--data", "digits", "--profile", "--out", "run", *QUIET]) == 2
    assert "--profile writes a trace and no run. Write --out like run.json." in capsys.readouterr().err
    assert main(["train", *TINY, "--data", "digits", "--profile", "--find-lr", *QUIET]) == 2
    assert "--find-lr and --profile are two tests. Name one of them." in capsys.readouterr().err
