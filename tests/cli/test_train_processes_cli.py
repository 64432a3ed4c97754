"""plusx train under torchrun: one voice, restarts that lose nothing, and what is said when processes cannot meet."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from plusx.bundles import open_bundle, read_lines, read_run
from processes import run, started
from training.test_training_distributed import torchrun
from training.tinyrun import digest, write_photos
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


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("plusx: ")]


@pytest.mark.slow
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
        done = run([sys.executable, "-m", "plusx", "train", "resnet20", "--data", "digits"], env=meeting)
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


@pytest.mark.slow
def test_a_restart_without_out_goes_on_in_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_path = "runs/resnet20-digits-001"
    done = run(torchrun(2, "--max-restarts=2", DEADLY, 1, 60, run_path, "train", *WORDS))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "resumes after step" in done.stderr
    assert [path.name for path in Path("runs").iterdir()] == ["resnet20-digits-001"]
    other = run(torchrun(2, DEADLY, 1, 9999, run_path, "train", *WORDS))  # another job is a run of its own
    assert other.returncode == 0, other.stderr[-2000:]
    assert sorted(path.name for path in Path("runs").iterdir()) == ["resnet20-digits-001", "resnet20-digits-002"]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["labels", "count"])
def test_nodes_with_other_data_are_refused(change: str, tmp_path: Path) -> None:
    """Two agents, each with a working directory and a cache of its own; each sees its own photos."""
    for node in ("n0", "n1"):
        write_photos(tmp_path / node / "d")
    other = tmp_path / "n1/d"
    if change == "labels":
        for old, new in (("disc", "x"), ("stripe", "disc"), ("x", "stripe")):
            (other / old).rename(other / new)
    else:
        (other / "disc/03.jpg").unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = "train resnet20 depths=1,1,1 --data d --out run --recipe".split()
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                started(
                    [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={rank}",
                     "--master-addr=127.0.0.1", f"--master-port={port}", "-m", "plusx", *words, "default epochs=1 batch=4 size=16"],
                    cwd=tmp_path / f"n{rank}", env={"PLUSX_CACHE": str(tmp_path / f"cache{rank}")},
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                )
            )
            for rank in range(2)
        ]  # fmt: skip
        errors = [node.communicate(timeout=HANG)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [1, 1]
    assert "The processes see different train data: process 0 on " in errors[0] and "see different" not in errors[1]
    assert not (tmp_path / "n0/run").exists()


@pytest.mark.slow
def test_a_node_that_is_lost_and_comes_back_costs_nothing(tmp_path: Path) -> None:
    """Two agents on loopback. One is killed with its process, and started anew with the same words: the same bits in the end."""
    recipe, out = "digits epochs=6 precision=fp32 ema=0.9", tmp_path / "lost"
    words = ["-m", "plusx", "train", *NETWORK, "--data", "digits", "--recipe", recipe, "--checkpoint-seconds", "0.2"]
    whole = run(torchrun(2, *words, "--out", tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr[-2000:]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def node(keeps_store: bool) -> AbstractContextManager[subprocess.Popen[str]]:
        agent = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=3",
            "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=digits", "--monitor-interval=0.1",
            f"--rdzv-conf=is_host={int(keeps_store)}",
        ]  # fmt: skip
        return started([*agent, *words, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        )  # fmt: skip

    with node(keeps_store=True) as first, ExitStack() as stack:
        lost = stack.enter_context(node(keeps_store=False))
        end = time.monotonic() + HANG
        while not list((out / "checkpoints").glob("step-*")) and time.monotonic() < end:
            time.sleep(0.01)
        workers = [
            pid for task in Path(f"/proc/{lost.pid}/task").iterdir() for pid in (task / "children").read_text().split()
        ]
        assert workers and lost.poll() is None
        for pid in (lost.pid, *map(int, workers)):
            os.kill(pid, signal.SIGKILL)
        back = stack.enter_context(node(keeps_store=False))
        errors = [agent.communicate(timeout=HANG)[1] for agent in (first, back)]
        assert [first.returncode, back.returncode] == [0, 0], errors[0][-3000:] + errors[1][-3000:]
    assert "resumes after step" in "".join(errors)
    assert digest(out) == digest(tmp_path / "whole")


@pytest.mark.slow
def test_three_hundred_restarts_meet(tmp_path: Path) -> None:
    """One of two processes is killed again and again, at a step, while it meets or before; torchrun starts them all anew."""
    script = tmp_path / "again.py"
    script.write_text(AGAIN)
    done = run(torchrun(2, "--max-restarts=300", "--monitor-interval=0.05", script, tmp_path / "count"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "count").stat().st_size == 301
    assert "Not all processes" not in done.stderr


AGAIN = """
import os, random, signal, sys, threading, time
count, rank = sys.argv[1], int(os.environ["RANK"])
if rank == 0:
    with open(count, "ab") as file:
        file.write(b".")
from plusx.training.distributed import process_group
attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
draw = random.Random(attempt)
victim, delay, slow = draw.randrange(2), draw.choice([0, 0.005, 0.02, 0.1, 0.3]), draw.choice([0, 0, 0.2])
if attempt < 300 and rank == victim:
    threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
if rank != victim:
    time.sleep(slow)
group = process_group("cpu")
for _ in range(10**9 if attempt < 300 else 20):
    group.all_gather(rank)
"""
