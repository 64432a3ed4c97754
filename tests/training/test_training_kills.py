"""More than a hundred kills, at every phase of a training that uses every feature; and resumes of random features."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plusx.data import Splits
from plusx.evaluation import counting
from plusx.training import RunOptions, Step, Stop, fit, resume
from training.killing import PHASES, killed
from training.tinyrun import digest, losses, resumed, splits, started

pytestmark = pytest.mark.forks

EVERYTHING = (
    "digits epochs=2 batch=16 lr=0.05 warmup=0.25 ema=0.9 accumulate=2 erase=0.3 flip=yes mixup=0.2 cutmix=1 "
    "policy=trivialaugment size_from=6 class_weights=balanced early_stop=5 keep=best precision=fp32"
)
EACH = 14
"""Kills a phase: the calls that are killed are spread evenly over all that a training makes."""


def _calls(phase: str, tmp: Path) -> tuple[int, int]:
    """The first and the last time that a training with its run.json on disk comes by a phase, found by killing it."""

    def dies(at: int) -> tuple[bool, bool]:
        run = tmp / f"{phase}-{at}"
        shutil.rmtree(run, ignore_errors=True)
        died = killed(lambda: started(run, EVERYTHING, checkpoint_steps=2), phase, at)
        return died, (run / "run.json").exists()

    def last(holds: Callable[[int], bool]) -> int:
        low, high = 0, 1
        while holds(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low

    return last(lambda at: not dies(at)[1]) + 1, last(lambda at: dies(at)[0])


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """At each phase, at random moments, and several in one run: resumed to the end, always the same bits."""
    monkeypatch.setattr(counting, "BATCH", 4)  # an evaluation of 30 images can be killed at eight places
    list(started(tmp_path / "whole", EVERYTHING))
    wanted, seen, kills = digest(tmp_path / "whole"), Counter[str](), 0
    draw = random.Random(0)
    for phase in PHASES:
        first, most = _calls(phase, tmp_path)
        for i in range(EACH):
            at = first + i * (most - first) // (EACH - 1)
            run = tmp_path / f"{phase}-{at}-{i}"
            assert killed(lambda run=run: started(run, EVERYTHING, checkpoint_steps=2), phase, at), (phase, at)
            seen[phase] += 1
            seen["before the first checkpoint"] += not any((run / "checkpoints").glob("step-*"))
            list(resumed(run))
            assert digest(run) == wanted, (phase, at)
            kills += 1
            shutil.rmtree(run)
    for i in range(40):
        if seen["any moment"] == 12:  # some trainings are over before their end comes
            break
        run = tmp_path / f"random-{i}"
        child = os.fork()
        if not child:
            try:
                list(started(run, EVERYTHING, checkpoint_steps=1))
            finally:
                os._exit(0)
        while not (run / "run.json").exists():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.35))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        seen["any moment"] += os.WIFSIGNALED(status)
        kills += os.WIFSIGNALED(status)
        list(resumed(run))
        assert digest(run) == wanted
    run = tmp_path / "again and again"
    assert killed(lambda: started(run, EVERYTHING, checkpoint_steps=1), "Step", 2)
    for step in range(3, 13):
        if killed(lambda: resumed(run, checkpoint_steps=1), "Step", step):
            seen["one run, killed after every step"] += 1
            kills += 1
    list(resumed(run))
    assert digest(run) == wanted
    with capsys.disabled():
        print(f"\n{kills} kills, then resumed: final weights, averages, momenta and bundle bit for bit as undisturbed")
        for phase, count in seen.items():
            print(f"  {phase:<34}{count:>4}  {'#' * count}")
    assert kills >= 100 and all(seen[phase] >= 10 for phase in (*PHASES, "any moment", "before the first checkpoint"))


FEATURES = st.fixed_dictionaries(
    {
        "ema": st.sampled_from((0, 0.9)),
        "precision": st.sampled_from(("fp32", "bf16")),
        "accumulate": st.integers(1, 3),
        "mixup": st.sampled_from((0, 0.3)),
        "cutmix": st.sampled_from((0, 1)),
        "policy": st.sampled_from(("none", "trivialaugment", "randaugment")),
        "erase": st.sampled_from((0, 0.4)),
        "crop": st.sampled_from(("area", "shift", "none")),
        "size_from": st.sampled_from(("auto", "6")),
        "warmup": st.sampled_from((0, 0.3)),
        "nesterov": st.sampled_from(("yes", "no")),
        "class_weights": st.sampled_from(("none", "balanced")),
        "early_stop": st.sampled_from((0, 1)),
        "keep": st.sampled_from(("best", "last")),
    }
)
NETWORK = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4"


def _resumed_is_undisturbed(
    tmp: Path, data: Splits, features: dict[str, object], extra: str, seed: int, step: int, workers: tuple[int, int]
) -> None:
    words = " ".join(f"{key}={value}" for key, value in features.items() if value != "auto")
    recipe = f"digits epochs=2 batch=16 lr=0.05 {words}"
    for name in ("whole", "run"):
        shutil.rmtree(tmp / name, ignore_errors=True)
    network = f"{NETWORK} {extra}"
    whole = losses(
        fit(
            network,
            data,
            recipe,
            tmp / "whole",
            options=RunOptions(seed=seed, device="cpu", threads=1, workers=workers[0]),
        )
    )
    stop = Stop()
    for event in fit(
        network,
        data,
        recipe,
        tmp / "run",
        options=RunOptions(seed=seed, device="cpu", threads=1, workers=workers[0], stop=stop),
    ):
        if isinstance(event, Step) and event.step == min(step, len(whole)):
            stop.signal = 15
    rest = losses(resume(tmp / "run", data=data, options=RunOptions(device="cpu", workers=workers[1])))
    assert rest == whole[min(step, len(whole)) :]
    assert digest(tmp / "run") == digest(tmp / "whole")


COMBINATIONS = {
    "features": FEATURES,
    "extra": st.sampled_from(
        ("", "drop_path=0.3", "head_dropout=0.3", "drop_path=0.2 norm=group2", "block_dropout=0.2")
    ),
    "seed": st.integers(0, 2**40),
    "step": st.integers(1, 12),
    "workers": st.tuples(st.integers(0, 2), st.integers(0, 2)),
}
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=6, deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(**COMBINATIONS)
def test_resume_is_exact_for_random_features(tmp_path: Path, **case: object) -> None:
    _resumed_is_undisturbed(tmp_path, splits(), **case)  # type: ignore[arg-type]


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(**COMBINATIONS)
def test_resume_is_exact_for_many_random_features(tmp_path: Path, **case: object) -> None:
    _resumed_is_undisturbed(tmp_path, splits(), **case)  # type: ignore[arg-type]
