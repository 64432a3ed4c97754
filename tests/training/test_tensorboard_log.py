"""The log for TensorBoard, read back by TensorBoard's own reader: what metrics.jsonl says, and no step twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plusx.bundles import read_lines
from plusx.errors import MissingExtra, SpecError
from plusx.training import Checkpointed, RunOptions, Step
from training.tinyrun import STEPS, resumed, started, stopped_after
from waiting import HANG

MISSING = "tensorboard is not installed. Install it with pip install 'plusx[log]'."


def read(run: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def expected(run: Path) -> dict[str, list[tuple[int, float]]]:
    rows = list(read_lines(run / "metrics.jsonl"))

    def of(event: str, key: str) -> list[tuple[int, float]]:
        return [(row["step"], pytest.approx(row[key], rel=1e-6)) for row in rows if row["event"] == event]

    return {
        "step/loss": of("step", "loss"), "step/lr": of("step", "lr"), "epoch": of("evaluated", "epoch"),
        "loss/train": of("evaluated", "train_loss"), "loss/val": of("evaluated", "nll"),
        "top1/train": of("evaluated", "train_top1"), "top1/val": of("evaluated", "top1"),
    }  # fmt: skip


def test_it_says_what_metrics_say(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for _event in started(tmp_path / "run", log="tensorboard"):
        pass
    found = read(tmp_path / "run")
    assert found == expected(tmp_path / "run")
    assert [step for step, _ in found["step/loss"]] == list(range(1, STEPS + 1))
    assert [step for step, _ in found["top1/val"]] == [6, 12]


@pytest.mark.parametrize("lost", [0, 3])
def test_a_resumed_run_writes_no_step_twice(lost: int, tmp_path: Path) -> None:
    """Also where it was killed some steps after its last checkpoint; the log goes on without being asked for again."""
    pytest.importorskip("tensorboard")
    events: Any = started(tmp_path / "run", log="tensorboard", checkpoint_steps=4)
    saved = 0
    for event in events:
        saved = event.step if isinstance(event, Checkpointed) else saved
        if saved >= 4 and isinstance(event, Step) and event.step == 5 + lost:
            break
    events.close()  # nothing more is written
    for _event in resumed(tmp_path / "run"):
        pass
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 2
    found = read(tmp_path / "run")
    assert found == expected(tmp_path / "run")
    assert [step for step, _ in found["step/loss"]] == list(range(1, STEPS + 1))


def test_without_asking_there_is_no_log(tmp_path: Path) -> None:
    stopped_after(tmp_path / "run", 2)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtra) as caught:
        started(tmp_path / "run", log="tensorboard")
    assert str(caught.value) == MISSING and not (tmp_path / "run").exists()
    with pytest.raises(SpecError, match="Did you mean 'tensorboard'"):
        RunOptions(log="tensorbord")


def test_the_option_reaches_it(tmp_path: Path) -> None:
    """As typed: the log is there, or one line says what to install, and nothing is written."""
    words = "train resnet20 --data digits --recipe".split() + ["digits epochs=1 batch=512", "--log", "tensorboard"]
    command = [sys.executable, "-m", "plusx", *words, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        assert (done.returncode, done.stderr) == (2, f"plusx: {MISSING}\n") and not (tmp_path / "run").exists()
        return
    assert (
        done.returncode == 0 and json.loads((tmp_path / "run" / "run.json").read_text())["command"][-3] == "tensorboard"
    )
    assert read(tmp_path / "run") == expected(tmp_path / "run")
