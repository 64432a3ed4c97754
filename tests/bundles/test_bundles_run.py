"""Run directories and checkpoints: whole or passed over, said plainly, never lost."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from plusx.bundles import (
    append_line,
    atomic,
    check_output_dir,
    checkpoint_names,
    newest_checkpoint,
    newest_complete,
    prune_checkpoints,
    read_checkpoint_dir,
    read_lines,
    read_run,
    start_run,
    write_checkpoint_dir,
    write_skipped,
)
from plusx.errors import BundleError, RunError

FIELDS = {
    "command": ["plusx", "train"], "spec": {"block": "basic"}, "recipe": {"name": "default"},
    "data": {"kind": "digits", "fingerprint": "f", "classes": ["0", "1"], "n": 2}, "seed": 0, "versions": {},
}  # fmt: skip


def checkpoint(parent: Path, step: int) -> Path:
    files = {"model.safetensors": bytes([step]) * 9000, "state.json": json.dumps({"step": step}).encode()}
    return write_checkpoint_dir(parent, f"step-{step:08d}", files, {"threads": 2})


def test_a_run_comes_back(tmp_path):
    run = read_run(start_run(tmp_path / "runs" / "one", {**FIELDS, "extra": 1}))
    assert (run.command, run.spec.block, run.seed, run.data.kind) == (("plusx", "train"), "basic", 0, "digits")
    assert run.data.classes == ("0", "1") and run.data.n == 2 and run.checkpoints.is_dir()
    with pytest.raises(BundleError, match=r"already holds a run\. Choose another --out, or resume it with --resume"):
        start_run(run.path, FIELDS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(BundleError, match="not empty"):
        check_output_dir(tmp_path / "full")
    check_output_dir(tmp_path / "new")


def test_runs_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(BundleError, match="no run at"):
        read_run(tmp_path)
    path = start_run(tmp_path / "r", FIELDS) / "run.json"
    sealed = path.read_text()
    path.write_text(sealed.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(BundleError, match="was changed after it was written"):
        read_run(tmp_path / "r")
    monkeypatch.setattr(
        atomic, "_digest", lambda found: found.get(atomic._DIGEST)
    )  # what a writer of another kind would seal
    whole = sealed
    for text, words in [
        (whole[:50], "damaged"),
        (whole.replace("run/1", "run/7"), "newer than this plusx"),
        (whole.replace('"seed"', '"sead"'), "lacks seed"),
        (whole.replace('"seed": 0', '"seed": "0"'), "invalid value of seed"),
        (whole.replace('"n": 2', '"n": "2"'), "invalid value of n"),
        (whole.replace('"basic"', '"basik"'), "cannot be used. [Uu]nknown block 'basik'"),
        ("[" * 10**5, "damaged"),
        ("[1]", "instead of 'plusx.run/1'"),
    ]:
        path.write_text(text)
        with pytest.raises(BundleError, match=words):
            read_run(tmp_path / "r")


def test_the_newest_whole_checkpoint(tmp_path):
    assert newest_complete(tmp_path / "none") is None and newest_checkpoint(tmp_path) is None
    for step in (1, 2, 10):
        checkpoint(tmp_path / "checkpoints", step)
    parent = tmp_path / "checkpoints"
    newest = newest_checkpoint(tmp_path)
    assert newest == parent / "step-00000010"
    assert read_checkpoint_dir(newest)["state.json"] == b'{"step": 10}'
    assert json.loads((newest / "manifest.json").read_text())["threads"] == 2


def test_any_cut_or_flip_falls_back_and_says_so(tmp_path):
    checkpoint(tmp_path, 1)
    victim = checkpoint(tmp_path, 2)
    for path in sorted(victim.iterdir()):
        raw = path.read_bytes()
        cuts = range(0, len(raw), 4096) if len(raw) > 4096 else range(0, len(raw), 11)
        bad = [raw[:cut] for cut in cuts]
        bad += [
            raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(0, len(raw), 97) if raw[at] not in b" \n"
        ]
        for content in bad:
            path.write_bytes(content)
            said: list[str] = []
            assert newest_complete(tmp_path, said.append) == tmp_path / "step-00000001"
            assert len(said) == 1 and said[0].startswith("Checkpoint step-00000002 is skipped")
            with pytest.raises(BundleError):
                read_checkpoint_dir(victim)
        path.unlink()
        assert newest_complete(tmp_path) == tmp_path / "step-00000001"
        path.write_bytes(raw)
    assert newest_complete(tmp_path) == victim


def test_a_newer_format_is_not_passed_over_in_silence(tmp_path):
    checkpoint(tmp_path, 1)
    path = checkpoint(tmp_path, 2) / "manifest.json"
    path.write_text(path.read_text().replace("plusx.checkpoint/1", "plusx.checkpoint/2"))
    with pytest.raises(BundleError, match="newer than this plusx"):
        newest_complete(tmp_path)


class Killed(BaseException):
    pass


def test_killed_at_any_step_no_checkpoint_is_half(tmp_path, monkeypatch):
    """Also when the same step is written again, as a resumed run does."""
    for again in (False, True):
        for nth in range(1, 40):
            parent = tmp_path / f"{again}{nth}"
            checkpoint(parent, 1)
            if again:
                checkpoint(parent, 2)
            calls = 0
            finished = False
            with monkeypatch.context() as patch:

                def stopping(real):
                    def call(*args):
                        nonlocal calls
                        calls += 1
                        if calls == nth:  # noqa: B023
                            raise Killed
                        return real(*args)

                    return call

                for name in ("_fsync", "_rename", "_remove"):
                    patch.setattr(atomic, name, stopping(getattr(atomic, name)))
                try:
                    checkpoint(parent, 2)
                    finished = True
                except Killed:
                    pass
            said: list[str] = []
            found = newest_complete(parent, said.append)
            assert found is not None and said == []
            if again or finished:
                assert found.name == "step-00000002"
            assert read_checkpoint_dir(checkpoint(parent, 2))["state.json"] == b'{"step": 2}'
            assert {p.name for p in parent.iterdir()} == {"step-00000001", "step-00000002"}
            if finished:
                assert nth > 8
                break
        else:
            pytest.fail("the writer never came to its end")


def test_pruning_keeps_the_newest_and_the_spared(tmp_path):
    for step in range(1, 7):
        checkpoint(tmp_path, step)
    assert prune_checkpoints(tmp_path, 2, spare={"step-00000001"}) == [f"step-{s:08d}" for s in (2, 3, 4)]
    assert checkpoint_names(tmp_path) == [f"step-{s:08d}" for s in (1, 5, 6)]
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(RunError):
        prune_checkpoints(tmp_path, 0)


def test_lines_survive_a_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert list(read_lines(path)) == []
    for step in range(3):
        append_line(path, {"step": step, "naïve": "é"})
    path.write_bytes(path.read_bytes()[:-5])
    append_line(path, {"step": 3})
    assert [row["step"] for row in read_lines(path)] == [0, 1, 3]


def test_skipped_csv_keeps_any_name(tmp_path):
    rows = [('a,"b"\n.jpg', "cut"), (os.fsdecode(b"\xff.jpg"), "x")]
    write_skipped(tmp_path / "skipped.csv", rows)
    with (tmp_path / "skipped.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert list(csv.reader(file)) == [["path", "reason"], *map(list, rows)]
