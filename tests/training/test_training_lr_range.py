"""The learning-rate range test: its rule on curves made by hand, and that it leaves nothing behind."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from plusx import find_lr
from plusx.cli.main import main
from plusx.errors import SpecError
from plusx.training import RunOptions, Stop
from plusx.training.lr_range import HIGHEST, LOWEST, STEPS, LearningRateRange, _rates, _smoothed
from plusx.training.recipe import parse_recipe
from training.tinyrun import network, splits

TINY = ["resnet20", "depths=1,1,1", "widths=4,8,8", "stem_width=4"]
QUIET = ["--threads", "1", "--device", "cpu"]


def _found(smoothed: list[float], *, stopped: bool = False) -> LearningRateRange:
    rates = [*_rates()][: len(smoothed)]
    return LearningRateRange(rates, smoothed, smoothed, diverged=False, stopped=stopped, setup=None)  # type: ignore[arg-type]


def test_rates_are_a_geometric_series() -> None:
    rates = [*_rates()]
    assert np.allclose(np.diff(np.log10(rates)), 1 / 20) and (rates[0], len(rates)) == (LOWEST, STEPS)
    assert rates[-1] == pytest.approx(HIGHEST)


def test_the_smoothed_loss_is_a_moving_average_with_its_start_corrected() -> None:
    losses = np.random.default_rng(0).random(40).tolist()
    mean = 0.0
    for t in range(1, 41):  # as fastai's Recorder and Adam do it
        mean = 0.9 * mean + 0.1 * losses[t - 1]
        assert _smoothed(losses[:t]) == pytest.approx(mean / (1 - 0.9**t))


@pytest.mark.parametrize(("middle", "lr"), [(-2.0, 0.01), (-3.0, 0.001), (-1.5, 0.03)])
def test_the_suggested_rate_is_where_the_loss_falls_fastest(middle: float, lr: float) -> None:
    """2.3, then a logistic fall around `middle` of width 0.1, and a rise one power of ten above it."""
    powers = np.linspace(-6, 1, STEPS)
    loss = 2.3 - 1.5 / (1 + np.exp(-(powers - middle) / 0.1)) + np.exp(np.minimum(3 * (powers - middle - 1), 5))
    found = _found(loss.tolist())
    assert found.suggested == lr
    assert math.log10(found.rates[found.lowest]) == pytest.approx(middle + 0.5, abs=0.25)


def test_noise_of_the_first_batches_is_not_taken_for_a_fall() -> None:
    powers = np.linspace(-6, 1, STEPS)
    loss = 2.3 - 0.5 / (1 + np.exp(-(powers + 2) / 0.3)) + np.exp(np.minimum(3 * (powers + 0.5), 5))
    loss[:3] += [3.0, 2.0, 1.0]
    assert _found(loss.tolist()).suggested == pytest.approx(0.01, rel=0.3)


def test_nothing_is_suggested_where_the_loss_does_not_fall() -> None:
    assert _found([2.3] * STEPS).suggested is None
    assert _found([2.3 + 0.01 * i for i in range(40)]).suggested is None
    assert _found([]).suggested is None
    assert _found([2.3] * 60 + [1.0] * 40, stopped=True).suggested is None


@pytest.mark.parametrize(("optimiser", "low", "high"), [("sgd", 0.02, 0.1), ("adamw", 0.001, 0.02)])
def test_it_finds_rates_that_people_use(
    optimiser: str, low: float, high: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SGD: 0.1 is the recipe's own, chosen by 8 splits of the digits. AdamW: torch's 0.001 or a little more. Nothing is written."""
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, int]] = []
    found = find_lr(
        "resnet20 depths=2,2,2", splits(), f"digits precision=fp32 optimiser={optimiser}", RunOptions(device="cpu", threads=1),
        on_step=lambda done, most: seen.append((done, most)),
    )  # fmt: skip
    assert found.suggested is not None and low <= found.suggested <= high
    assert found.rates == [*_rates()][: len(found.rates)] and len(found.losses) == len(found.rates)
    assert seen[:2] == [(1, STEPS), (2, STEPS)]
    assert not [*tmp_path.iterdir()]


def test_the_same_arguments_see_the_same_losses() -> None:
    options = RunOptions(device="cpu", threads=1, seed=3)
    first, again = (find_lr(network(), splits(), "digits precision=fp32", options) for _ in range(2))
    assert first.losses == again.losses


def test_it_ends_where_the_loss_diverges_or_a_user_asks() -> None:
    stop = Stop()
    found = find_lr(
        network(), splits(), "digits precision=fp32", RunOptions(device="cpu", threads=1, stop=stop),
        on_step=lambda done, most: setattr(stop, "signal", 2 if done == 5 else None),
    )  # fmt: skip
    assert (len(found.rates), found.stopped, found.suggested) == (5, True, None)
    unnormed = "resnet20 norm=none"
    wild = find_lr(unnormed, splits(), "digits precision=fp32 optimiser=adamw", RunOptions(device="cpu", threads=1))
    assert wild.diverged and len(wild.rates) < STEPS
    assert wild.smoothed[-1] > 4 * min(wild.smoothed) or not math.isfinite(wild.smoothed[-1])


def test_recipes_without_a_rate_of_their_own_are_refused() -> None:
    for name in ("auto", "probe"):
        with pytest.raises(SpecError, match="has no learning rate of its own"):
            find_lr(network(), splits(), name, RunOptions(device="cpu"))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command_prints_a_table_and_writes_a_chart(
    lang: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    words = ["train", *TINY, "--data", "digits", "--recipe", "lr=0.5 batch=64", "--find-lr", *QUIET, "--lang", lang]
    monkeypatch.setattr("sys.argv", ["plusx", *words])
    assert main(words) == 0
    out = capsys.readouterr()
    assert [path.name for path in tmp_path.iterdir()] == ["find-lr-resnet20-digits.svg"]
    picture = ET.parse(tmp_path / "find-lr-resnet20-digits.svg").getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(picture.findall(".//{*}path[@class='val line']")) == len(picture.findall(".//{*}circle")) == 1
    assert "find-lr-resnet20-digits.svg" in out.err
    lines = out.out.splitlines()
    assert 12 < len(lines) < 30 and all(len(line) <= 80 for line in lines)
    command = " ".join(line.strip() for line in out.out[out.out.index("plusx train") :].splitlines())
    assert command.startswith(
        "plusx train resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 --data digits --recipe batch=64 "
    )
    assert 0.003 <= float(command.rpartition("--lr ")[2]) <= 0.3
    if lang == "en":
        assert "falls fastest" in out.out and "for batch=64 and sgd" in out.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "run"], "--find-lr writes a chart and no run. Write --out like run.svg."),
        (["--minutes", "3"], "--find-lr makes a fixed number of steps and takes no --minutes. Leave it out."),
        (["--recipe", "auto"], "Recipe auto has no learning rate of its own."),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *TINY, "--data", "digits", "--find-lr", *words, *QUIET]) == 2
    assert said in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_resumed_run_has_its_rate_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "a-run", "--find-lr"]) == 2
    assert "takes --find-lr from the run itself. Leave them out." in capsys.readouterr().err


def test_a_frozen_part_stays_frozen_and_its_recipe_is_finetune(tmp_path: Path) -> None:
    """From weights without a recipe: what fit does in stages is tried as finetune, with a probed classifier."""
    from plusx.training import Finished, fit

    options = RunOptions(device="cpu", threads=1)
    *_, last = fit(network(), splits(), "digits epochs=1 precision=fp32", tmp_path / "run", options)
    assert isinstance(last, Finished)
    found = find_lr(None, splits(), None, RunOptions(device="cpu", threads=1, weights=tmp_path / "run"))
    assert found.setup.recipe.name == "finetune" and found.setup.recipe.freeze == "stem"
    assert found.setup.recipe.lr == parse_recipe("finetune").lr, "the run that would be made keeps its own rate"
