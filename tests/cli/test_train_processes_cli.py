"""plusx train under torchrun: one voice, restarts that lose nothing, and what is said when processes cannot meet."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from plusx.bundles import open_bundle, read_lines, read_run
from training.test_training_distributed import torchrun
from training.tinyrun import digest
from waiting import HANG

DEADLY = Path(__file__).parents[1] / "training" / "deadly.py"
NETWORK = "resnet20 depths=1,1,1 widths=4,8,8 stem_width=4 drop_path=0.1".split()
WORDS = [
    *NETWORK,
    "--data",
    "digits",
    "--recipe",
    "digits epochs=2 precision=fp32 ema=0.9",
    "--checkpoint-seconds",
    "0.2",
]


def run(command: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG, env={**os.environ, **env})


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("plusx: ")]


@pytest.mark.slow  # on a busy machine the restarted processes may not meet, which ends them with exit code 3
def test_a_killed_process_costs_nothing(tmp_path: Path) -> None:
    """torchrun starts all of them anew, with the same words: they go on from the last checkpoint, to the same bits."""
    whole = run(torchrun(2, "-m", "plusx", "train", *WORDS, "--out", tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr[-2000:]
    assert whole.stdout.count("accuracy") == 1 and whole.stderr.count("epoch 2/2") == 1  # one of them speaks
    assert "2 processes of 1 thread" in whole.stderr
    out = tmp_path / "killed"
    killed = run(torchrun(2, "--max-restarts=2", DEADLY, 1, 60, out, "train", *WORDS, "--out", out))
    assert killed.returncode == 0, killed.stderr[-2000:]
    assert "resumes after step" in killed.stderr
    assert digest(out) == digest(tmp_path / "whole")
    rows = [
        [row for row in read_lines(path / "metrics.jsonl") if row["event"] == "evaluated"]
        for path in (out, tmp_path / "whole")
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 2
    assert read_run(out).world_size == 2
    # evaluated by two processes: what the training said, once
    words = ["-m", "plusx", "evaluate", out, "--data", "digits", "--format", "json"]
    alone, both = run([sys.executable, *map(str, words)]), run(torchrun(2, *words))
    assert both.returncode == 0, both.stderr[-2000:]
    assert json.loads(both.stdout) == json.loads(alone.stdout)
    assert json.loads(both.stdout)["nll"] == open_bundle(out).metrics["nll"]
    # the same words for another run at the same place are no restart
    again = run(torchrun(2, "-m", "plusx", "train", *WORDS, "--out", out))
    assert again.returncode == 1 and len(said(again)) == 1 and "already holds a run" in said(again)[0]
    # and another number of processes is said
    state = json.loads((sorted((out / "checkpoints").iterdir())[-1] / "state.json").read_bytes())
    assert state["world_size"] == 2


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        meeting = {
            "RANK": "0",
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(taken.getsockname()[1]),
        }
        done = run([sys.executable, "-m", "plusx", "train", "resnet20", "--data", "digits"], **meeting)
    assert done.returncode == 3
    assert len(said(done)) == 1 and "is in use. torchrun --rdzv-endpoint localhost:0" in said(done)[0]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["resnet20", "--data", "nowhere/"], "plusx: There is no data at nowhere"),
        (["resnet20", "--data", "digits", "--recipe", "digits batch=3"], "each needs 2 of every batch"),
        (["resnet2O", "--data", "digits"], "The nearest are resnet20"),
    ],
)
def test_bad_input_is_said_once(words: list[str], line: str, tmp_path: Path) -> None:
    done = run(torchrun(2, "-m", "plusx", "train", *words, "--out", tmp_path / "run"))
    assert done.returncode == 1 and len(said(done)) == 1 and line in said(done)[0]
    assert not (tmp_path / "run").exists()
