"""plusx runs: every run is a row, whatever its state; no torch, no hashing, quick for a thousand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from plusx.bundles import atomic, runs, start_run, write_checkpoint_dir
from plusx.bundles.runs import find_runs, read_run_row
from plusx.bundles.writing import lock_run
from plusx.cli.main import main
from plusx.errors import RunError
from plusx.locks import UnsupportedLockError
from plusx.training.estimate import TrainingSpeed
from plusx.training.recipe import parse_recipe
from plusx.training.step import Trainer
from training.tinyrun import RECIPE as RECIPE_OF_TINY
from training.tinyrun import resumed, started, stopped_after
from waiting import HANG

DOC = (Path(__file__).resolve().parents[2] / "docs/json.md").read_text(encoding="utf-8")
RECIPE = parse_recipe("default epochs=3 lr=0.2").to_dict()


def make(
    path: Path, evaluated: int = 1, step: int = 40, top1: float | None = 0.75, n: int = 200, seconds: float = 61.0,
    began: str = "2026-03-01T12:00:00+00:00", ended: bool = True,
) -> Path:  # fmt: skip
    """A run as the trainer writes it, by hand: what the table must say is what stands here."""
    data = {"kind": "folder", "path": "/data/birds", "fingerprint": "f", "classes": ["a", "b"], "n": 800,
            "val": {"n": n, "fingerprint": "g"}, "val_split": 0.2}  # fmt: skip
    fields = {"command": ["plusx"], "spec": {}, "network": "resnet18 classes=2", "recipe": RECIPE, "data": data,
              "seed": 0, "versions": {}, "began": began}  # fmt: skip
    start_run(path, fields)
    best = None if top1 is None else {"epoch": 1, "step": 40, "top1": top1, "nll": 0.5}
    for at, spent in ((step - 10, seconds - 9), (step, seconds)):
        progress = {"step": at, "evaluated": evaluated, "best": best, "kept": None, "seconds": spent}
        files = {"model.safetensors": b"m" * 5000, "state.json": json.dumps({"progress": progress}).encode()}
        write_checkpoint_dir(path / "checkpoints", f"step-{at:08d}", files)
    rows = [{"event": "started", "step": 0}, {"event": "step", "step": step}]
    rows += [{"event": "finished", "step": step, "seconds": seconds}] if ended else []
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:  # type: ignore[type-arg]
    assert main(["runs", *words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "plusx.runs/1"
    return found["runs"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_real_training_interrupted_and_done(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluations = [e for e in started(Path("runs/whole")) if type(e).__name__ == "Evaluated"]
    stopped_after(Path("runs/deep/half"), 8)
    rows = {row["path"]: row for row in listed(capsys)}
    assert list(rows) == ["runs/deep/half", "runs/whole"]  # the newest first
    best = max(evaluations, key=lambda e: (e.top1, -e.nll))
    whole, half = rows["runs/whole"], rows["runs/deep/half"]
    assert (whole["state"], whole["epochs"], whole["step"]) == ("done", {"done": 2, "planned": 2}, 12)
    assert (whole["best"]["top1"], whole["best"]["n"], whole["best"]["epoch"]) == (best.top1, 30, best.epoch)
    assert whole["best"]["correct"] == best.metrics["correct"]
    assert whole["best"]["interval95"] == pytest.approx(best.metrics["interval95"])
    assert whole["network"].startswith("resnet20 depths=1,1,1") and whole["resume"] is None
    assert whole["recipe_text"].startswith("digits epochs=2 batch=16")
    assert (half["state"], half["step"], half["epochs"]) == ("interrupted", 8, {"done": 1, "planned": 2})
    assert half["resume"] == "plusx train --resume runs/deep/half" and half["data"]["n"] == 90
    assert whole["bytes"] == sum(p.stat().st_size for p in Path("runs/whole").rglob("*") if p.is_file())
    assert 0 <= time.time() - read_run_row(Path("runs/whole")).began.timestamp() < 600  # type: ignore[union-attr]
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "run",
        "network",
        "data",
        "recipe",
        "epochs",
        "top-1",
        "started",
        "time",
        "disk",
        "state",
    ]
    assert lines[1].endswith("interrupted after step 8, resume with plusx train --resume runs/deep/half")
    assert lines[2].endswith("  done") and f"{best.top1:.2%} of 30" in lines[2] and " 2/2 " in lines[2]


def test_the_table_of_a_run_made_by_hand(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    make(Path("runs/my run"))
    assert main(["runs", "-o", "list.txt"]) == 0
    assert capsys.readouterr().out == ""
    row = Path("list.txt").read_text().splitlines()[1]
    size = sum(p.stat().st_size for p in Path("runs/my run").rglob("*") if p.is_file())
    assert re.split(r"  +", row) == [
        "runs/my run", "resnet18 classes=2", "birds", "default epochs=3 lr=0.2", "1/3", "75.00% of 200", "2026-03-01 12:00",
        "1 min 1 s", f"{size / 1000:.1f} kB", "interrupted after step 40, resume with plusx train --resume 'runs/my run'",
    ]  # fmt: skip
    assert main(["runs", "--lang", "zh"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert (
        re.split(r"  +", head)[0] == "训练运行"
        and "在第 40 步后中断，恢复命令：plusx train --resume 'runs/my run'" in row
    )
    assert "75.00%（共 200）" in row and "1 分 1 秒" in row


def test_every_key_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    make(Path("runs/one"))
    assert main(["runs", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (row,) = record["runs"]
    section = DOC.split("## plusx.runs/1")[1].split("\n## ")[0]
    for key in {*record, *row, *row["data"], *row["epochs"], *row["best"]}:
        assert re.search(rf"\b{key}\b", section), key


def test_orders(capsys: pytest.CaptureFixture[str]) -> None:
    make(Path("r/a"), began="2026-01-02T00:00:00+00:00", top1=0.5, seconds=10)
    make(Path("r/b"), began="2026-01-01T00:00:00+00:00", top1=0.9, seconds=20)
    make(Path("r/c"), began="2026-01-03T00:00:00+00:00", top1=None, seconds=30)
    for order, wanted in {"newest": "cab", "accuracy": "bac", "time": "cba", "name": "abc"}.items():
        assert "".join(Path(row["path"]).name for row in listed(capsys, "r", "--sort", order)) == wanted, order
    assert main(["runs", "r", "--sort", "acuracy"]) == 2
    assert "Did you mean 'accuracy'? Allowed: newest, accuracy, time, name" in capsys.readouterr().err


def test_one_run_is_listed_alone_and_links_are_followed_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(here / "elsewhere/one")
    (here / "runs").mkdir()
    (here / "runs/link").symlink_to(here / "elsewhere/one")
    (here / "runs/circle").symlink_to(here / "runs")
    assert [row["path"] for row in listed(capsys)] == ["runs/link"]
    assert [row["path"] for row in listed(capsys, "elsewhere/one")] == ["elsewhere/one"]


def test_nothing_to_list(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 2
    assert capsys.readouterr().err.startswith("plusx: There is no folder runs. ")
    (here / "runs/notes").mkdir(parents=True)
    (here / "runs/notes/todo.txt").touch()
    assert listed(capsys) == []
    assert main(["runs"]) == 0
    assert "There are no runs below runs. " in capsys.readouterr().err


def test_running_is_told_from_killed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the lock, which goes with its process; where there are no locks by a log without an end that is fresh."""
    path = make(Path("runs/one"), ended=False)
    assert [row["state"] for row in listed(capsys)] == ["interrupted"]
    lock = lock_run(path, 0)
    assert [row["state"] for row in listed(capsys)] == ["running"]
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("running, step 40 is saved")
    lock.release()
    assert [row["state"] for row in listed(capsys)] == ["interrupted"]

    def unsupported(run: Path) -> None:
        raise UnsupportedLockError

    monkeypatch.setattr(runs, "run_holder", unsupported)
    assert [row["state"] for row in listed(capsys)] == ["running"]
    for part in (path / "metrics.jsonl", path / "checkpoints"):
        os.utime(part, (time.time() - 3600, time.time() - 3600))
    assert [row["state"] for row in listed(capsys)] == ["interrupted"]


def test_a_training_that_failed_says_why(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one whose weights were spoilt: the reason is in the run, as the error was; resumed soundly, it is done."""
    train_step = Trainer.train_step

    def spoil(self: Trainer, *batch: object) -> object:
        done = train_step(self, *batch)  # type: ignore[arg-type]
        if self.progress.step == 6:
            self.network.bn1.running_var.fill_(float("inf"))  # type: ignore[union-attr, operator]
        return done

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", spoil)
        patched.setattr("plusx.training.run.measure_speed", lambda *_: TrainingSpeed(0.01, 0.001))
        with pytest.raises(RunError) as caught:
            list(started(here / "runs/one", RECIPE_OF_TINY.replace("ema=0.9 ", ""), checkpoint_steps=4))
    (row,) = listed(capsys)
    assert (row["state"], row["step"], row["resume"]) == ("failed", 4, None)
    assert row["note"] == str(caught.value) and "bn1.running_var" in row["note"] and "lr=0.005" in row["note"]
    assert main(["runs"]) == 0
    shown = capsys.readouterr().out.rstrip()
    assert shown.endswith(f"failed: {caught.value}") and "running," not in shown
    assert "failed: The weights hold NaN or infinity after step 6" in (here / "runs/one/report.html").read_text()
    list(resumed(here / "runs/one"))
    assert [(row["state"], row["note"]) for row in listed(capsys)] == [("done", "")]
    assert "failed" not in (here / "runs/one/metrics.jsonl").read_text()


@pytest.mark.parametrize("patience", [3, 4])
def test_a_run_that_stopped_early_is_done(patience: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Patience that the fourth epoch, three after the best, has used up, or has not."""
    path = make(Path("runs/one"), evaluated=4)
    rewrite(path / "run.json", recipe={**RECIPE, "epochs": 9, "early_stop": patience})
    (row,) = listed(capsys)
    assert row["state"] == ("done" if patience == 3 else "interrupted")
    assert row["note"] == ("early stopping: 3 epochs without improvement" if patience == 3 else "")
    assert row["epochs"] == {"done": 4, "planned": 9}


# ---- damage ----


def cut(path: Path, keep: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def flip(path: Path) -> None:
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))


def rewrite(path: Path, **keys: object) -> None:
    """Another content under a hash that fits, as another writer would make it."""
    path.write_bytes(atomic.sealed_bytes({**json.loads(path.read_text()), **keys}))


def state_of(run: Path, step: int, progress: object) -> None:
    files = {"model.safetensors": b"m", "state.json": json.dumps({"progress": progress}).encode()}
    write_checkpoint_dir(run / "checkpoints", f"step-{step:08d}", files)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "run.json cut": (lambda r: cut(r / "run.json"), "run.json is damaged (not JSON"),
    "run.json empty": (lambda r: cut(r / "run.json", 0), "run.json is damaged (not JSON, 0 bytes)"),
    "run.json gone": (lambda r: (r / "run.json").unlink(), "no run at"),
    "run.json a folder": (lambda r: ((r / "run.json").unlink(), (r / "run.json").mkdir()), "no run at"),
    "run.json deep": (lambda r: (r / "run.json").write_text("[" * 10**5), "run.json is damaged"),
    "newer": (lambda r: rewrite(r / "run.json", schema="plusx.run/2"), "newer than this plusx"),
    "one bit": (lambda r: flip(r / "run.json"), "was changed after it was written"),
    "no recipe": (lambda r: rewrite(r / "run.json", recipe={}), "lacks or misstates 'epochs'"),
    "odd recipe": (lambda r: rewrite(r / "run.json", recipe=[1]), "run.json has an invalid value of recipe"),
    "odd epochs": (lambda r: rewrite(r / "run.json", recipe={"epochs": "3"}), "lacks or misstates epochs"),
    "odd data": (lambda r: rewrite(r / "run.json", data=None), "run.json has an invalid value of data"),
    "odd began": (lambda r: rewrite(r / "run.json", began="yesterday"), "yesterday"),
    "both checkpoints cut": (
        lambda r: [cut(p) for p in r.glob("checkpoints/*/model.safetensors")],
        "Checkpoint step-00000040 is skipped. ",
    ),
    "both states cut": (
        lambda r: [cut(p) for p in r.glob("checkpoints/*/state.json")],
        "state.json is damaged",
    ),
    "both manifests gone": (lambda r: [p.unlink() for p in r.glob("checkpoints/*/manifest.json")], "cannot be read"),
    "odd progress": (lambda r: state_of(r, 99, [1]), "lacks or misstates"),
    "odd best": (
        lambda r: state_of(r, 99, {"step": 1, "evaluated": 1, "seconds": 1, "kept": None, "best": {"top1": "x"}}),
        "lacks or misstates",
    ),
    "bundle gone": (
        lambda r: state_of(r, 99, {"step": 99, "evaluated": 3, "seconds": 1, "best": None, "kept": {"epoch": 1}}),
        "bundle is missing",
    ),
    "bundle odd": (lambda r: (r / "bundle").mkdir(), "bundle.json"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_run_is_a_row(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    damage, reason = DAMAGES[what]
    make(Path("runs/good"))
    damage(make(Path("runs/bad")))
    rows = {Path(row["path"]).name: row for row in listed(capsys)}
    assert rows["good"]["state"] == "interrupted"
    assert rows["bad"]["state"] == "damaged" and reason in rows["bad"]["note"] and rows["bad"]["resume"] is None
    assert rows["bad"]["bytes"] > 0 and rows["bad"]["began"]
    assert main(["runs"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("runs/bad"))
    assert f"damaged: {rows['bad']['note']}" in line


def test_the_newest_checkpoint_cut_is_said_and_the_one_before_counts(capsys: pytest.CaptureFixture[str]) -> None:
    cut(make(Path("runs/one")) / "checkpoints/step-00000040/model.safetensors")
    (row,) = listed(capsys)
    assert (row["state"], row["step"], row["seconds"]) == ("interrupted", 30, 52.0)
    assert row["note"].startswith("Checkpoint step-00000040 is skipped. ")
    assert main(["runs"]) == 0
    assert (
        "interrupted after step 30, resume with plusx train --resume runs/one (Checkpoint step-"
        in capsys.readouterr().out
    )


def test_killed_before_the_first_checkpoint_and_before_it_began(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(make(here / "runs/one", ended=False) / "checkpoints")
    (here / "runs/two").mkdir()
    (here / "runs/two/.run.json.new").write_text('{"sche')
    rows = {Path(row["path"]).name: row for row in listed(capsys)}
    assert (rows["one"]["state"], rows["one"]["step"]) == ("interrupted", 0)
    assert rows["two"]["state"] == "damaged" and rows["two"]["note"].startswith("killed before it began")


def test_a_folder_that_may_not_be_read_is_a_row(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    make(here / "runs/one")
    real = os.scandir

    def refusing(path):  # type: ignore[no-untyped-def]
        if Path(path).name == "two":
            raise PermissionError(13, "Permission denied")
        return real(path)

    (here / "runs/two").mkdir()
    monkeypatch.setattr(os, "scandir", refusing)
    assert [path.name for path in find_runs("runs")] == ["one", "two"]
    assert [row["state"] for row in listed(capsys, "--sort", "name")] == ["interrupted", "damaged"]


# ---- light and quick ----

PROBE = """
import sys, time
from plusx.cli.main import main
begun = time.process_time()
code = main(["runs", "many", "--format", "json", "-o", "list.json"])
print(code, time.process_time() - begun, "torch" in sys.modules)
"""


def test_a_thousand_runs_take_seconds_and_no_torch(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights of 1 GB each (sparse: nobody could hash a terabyte in the time), logs of megabytes."""
    make(here / "many/0000")
    weights = here / "many/0000/checkpoints/step-00000040/model.safetensors"
    os.truncate(weights, 1 << 30)
    manifest = weights.parent / "manifest.json"
    found = json.loads(manifest.read_text())
    found["files"]["model.safetensors"]["bytes"] = 1 << 30
    found[atomic._DIGEST] = atomic._digest(found)
    manifest.write_text(json.dumps(found))
    log = (here / "many/0000/metrics.jsonl").read_text()
    (here / "many/0000/metrics.jsonl").write_text('{"event": "step"}\n' * 200_000 + log)
    for i in range(1, 1000):
        copy = here / f"many/{i:04d}"
        (copy / "checkpoints").mkdir(parents=True)
        os.link(here / "many/0000/run.json", copy / "run.json")
        os.link(here / "many/0000/metrics.jsonl", copy / "metrics.jsonl")
        for step in (30, 40):
            (copy / f"checkpoints/step-{step:08d}").mkdir()
            for file in (here / f"many/0000/checkpoints/step-{step:08d}").iterdir():
                os.link(file, copy / f"checkpoints/step-{step:08d}/{file.name}")
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=HANG, check=True)
    code, seconds, torch = done.stdout.split()
    assert (code, torch) == ("0", "False")
    rows = json.loads(Path("list.json").read_text())["runs"]
    assert len(rows) == 1000 and {row["step"] for row in rows} == {40}
    assert float(seconds) < 20, "under 3 s on one core; hashing would take an hour"
