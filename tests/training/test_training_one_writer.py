"""A run has one writer, and --resume never destroys one: what cannot be resumed exactly is refused, and left as it was."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from plusx.bundles import atomic, checkpoint_names, open_bundle, read_run
from plusx.bundles import run as run_module
from plusx.bundles.runs import read_run_row
from plusx.errors import BundleError, DataError, PlusxError, RunError, SpecError
from plusx.training import Checkpointed, Finished, RunOptions, Started, fit
from plusx.training.claims import claim_new
from plusx.training.distributed import ProcessGroup
from plusx.training.run_data import require_equal_data
from training.killing import killed
from training.tinyrun import RECIPE, digest, resumed, splits, started, stopped_after, write_photos

pytestmark = pytest.mark.forks


def state(run: Path) -> dict[str, str]:
    return {
        str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in run.rglob("*")
        if file.is_file()
    }


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plusx.training.claims.PATIENCE_S", 0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    list(started(run))
    return run


# ---- one writer ----


def test_a_second_training_is_told_who_trains(tmp_path: Path) -> None:
    """Both ways of beginning beside one at work, in this process and in another; then it is free, and nothing was lost."""
    run = tmp_path / "run"
    stopped_after(run, 3)
    events = resumed(run)
    next(events)
    for begin in (lambda: list(resumed(run)), lambda: list(started(run))):
        with pytest.raises(BundleError, match=r"This process is training .*run already|already holds a run"):
            begin()
    said, other = os.pipe()
    if not os.fork():
        with suppress(BaseException):
            try:
                list(resumed(run))
            except BundleError as error:
                os.write(other, str(error).encode())
        os._exit(0)
    os.wait()
    assert os.read(said, 1000).decode().startswith(f"{run} is being trained by process {os.getpid()} on ")
    list(events)
    assert not (run / ".plusx.lock").exists()
    assert [type(event) for event in resumed(run)] == [Started, Finished]


def test_before_run_json_the_directory_is_taken_too(tmp_path: Path) -> None:
    with ExitStack() as stack:
        claim_new(tmp_path / "run", None, stack)
        with pytest.raises(BundleError, match="This process is training"):
            started(tmp_path / "run")
        assert read_run_row(tmp_path / "run").state == "running"
    assert not (tmp_path / "run").exists()


def test_a_killed_holder_holds_nothing(whole: Path, tmp_path: Path) -> None:
    assert killed(lambda: started(tmp_path / "run", checkpoint_steps=2), "Step", 5)
    assert (tmp_path / "run/.plusx.lock").exists() and read_run_row(tmp_path / "run").state == "interrupted"
    list(resumed(tmp_path / "run"))
    assert digest(tmp_path / "run") == digest(whole)
    assert not (tmp_path / "run/.plusx.lock").exists()


@pytest.mark.parametrize("atomically", [True, False])
def test_runs_begun_at_once_have_numbers_of_their_own(
    atomically: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight at a time. The control: with a directory that may be there already, they share numbers."""
    monkeypatch.chdir(tmp_path)
    if not atomically:
        mkdir = Path.mkdir
        monkeypatch.setattr(Path, "mkdir", lambda path, **_: mkdir(path, parents=True, exist_ok=True))
    taken: list[str] = []
    for _ in range(8):
        with ExitStack() as stack, suppress(BundleError):
            taken.append(claim_new(Path("runs/x"), Path("runs/x"), stack)[0].name)
            stack.pop_all()
    assert (len(set(taken)) == 8) == atomically
    assert not atomically or sorted(taken) == [f"x-00{number}" for number in range(1, 9)]


# ---- resume never destroys ----


def test_a_finished_run_without_checkpoints_stays_as_it_is(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "thin")
    shutil.rmtree(tmp_path / "thin/checkpoints")
    before = state(tmp_path / "thin")
    row = read_run_row(tmp_path / "thin")
    assert (row.state, row.note, row.step, row.epochs_done) == ("done", "its checkpoints were removed", 12, 2)
    with pytest.raises(BundleError, match=r"is finished, and its checkpoints were removed\. .* plusx train --weights"):
        list(resumed(tmp_path / "thin"))
    assert state(tmp_path / "thin") == before


def damaged(run: Path) -> None:
    for file in run.glob("checkpoints/*/state.json"):
        file.write_bytes(b"{}")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": lambda run: shutil.rmtree(run / "checkpoints"),
    "all damaged": damaged,
    "removed, and the log": lambda run: (shutil.rmtree(run / "checkpoints"), (run / "metrics.jsonl").unlink()),
}


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("what", DAMAGES)
def test_progress_that_was_lost_is_not_begun_anew(
    what: str, forgets: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after its first epoch, then without a whole checkpoint. The control overwrites the bundle."""
    stopped_after(tmp_path / "run", 8)
    DAMAGES[what](tmp_path / "run")
    before = state(tmp_path / "run")
    if forgets:
        monkeypatch.setattr("plusx.training.claims.had_progress", lambda _: False)
        list(resumed(tmp_path / "run"))
        assert state(tmp_path / "run") != before
        return
    assert read_run_row(tmp_path / "run").state == "damaged"
    with pytest.raises(BundleError, match=r"has no complete checkpoint left.*bundle: plusx train --weights"):
        list(resumed(tmp_path / "run"))
    assert state(tmp_path / "run") == before


def test_killed_between_bundle_and_checkpoint_it_begins_anew(whole: Path, tmp_path: Path) -> None:
    """The one bundle that may be overwritten: no checkpoint was ever whole, so the same bits come again."""
    assert killed(lambda: started(tmp_path / "run"), "state copied, not written", 1)
    assert (tmp_path / "run/bundle").exists() and not checkpoint_names(tmp_path / "run/checkpoints")
    list(resumed(tmp_path / "run"))
    assert digest(tmp_path / "run") == digest(whole)


@pytest.mark.parametrize("call", [1, 2, 6, 8, 9])
def test_first_weights_are_there_or_the_run_has_not_begun(call: int, whole: Path, tmp_path: Path) -> None:
    """Begun from weights and killed at each rename, and each disk write, of its start: to be resumed, or typed again."""
    run, steps = tmp_path / "run", ("between fsync and rename", "before an fsync")
    for number, phase in enumerate(steps):
        path = run.with_name(f"run{number}")
        if not killed(lambda path=path: started(path, RECIPE, weights=whole), phase, call):
            continue
        try:
            list(resumed(path))
        except BundleError as error:
            assert "was killed before it began. Run its command again." in str(error)
            assert read_run_row(path).note == "killed before it began; run its command again"
            list(started(path, RECIPE, weights=whole))
        assert digest(path) == from_weights(whole)
        assert read_run(path).first_weights is not None


_known: list[dict[str, str]] = []


def from_weights(first: Path) -> dict[str, str]:
    """What an undisturbed run that begins with the weights of `first` comes to; the control of beginning without them."""
    if not _known:
        list(started(first.with_name("warm"), RECIPE, weights=first))
        _known.append(digest(first.with_name("warm")))
        assert _known[0] != digest(first)
    return _known[0]


def test_first_weights_that_were_removed_are_not_forgotten(whole: Path, tmp_path: Path) -> None:
    events = started(tmp_path / "run", RECIPE, weights=whole)
    next(events)
    events.close()  # type: ignore[attr-defined]
    shutil.rmtree(tmp_path / "run/checkpoints")
    (tmp_path / "run/metrics.jsonl").unlink()
    with pytest.raises(BundleError, match=r"cannot be resumed\. Run its command again with another --out"):
        list(resumed(tmp_path / "run"))


def test_a_full_disk_at_the_start_leaves_no_run(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(RunError, match="disk is full"):
        patched.setattr(atomic, "_write_file", full)
        list(started(tmp_path / "run", RECIPE, weights=whole))
    with pytest.raises(BundleError, match=r"no run at|killed before it began"):
        resumed(tmp_path / "run")
    list(started(tmp_path / "run", RECIPE, weights=whole))
    assert digest(tmp_path / "run") == from_weights(whole)


# ---- what decides is hashed ----


@pytest.mark.parametrize("hashed", [True, False])
def test_no_bit_of_run_json_turns_unseen(
    hashed: bool, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 of them: one line each, or the same values, and a row in plusx runs. The control lets some pass."""
    raw, draw, passed = (whole / "run.json").read_bytes(), random.Random(0), 0
    good = read_run(whole)
    if not hashed:
        monkeypatch.setattr(atomic, "_digest", lambda found: found.get(atomic._DIGEST))
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for _ in range(300):
        at = draw.randrange(len(raw))
        (run / "run.json").write_bytes(raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :])
        try:
            passed += vars(read_run(run)) | {"path": whole} != vars(good)
        except PlusxError as error:
            assert "\n" not in str(error)
            assert read_run_row(run).state == "damaged"
    assert (passed == 0) == hashed


def test_a_resumed_run_s_bundle_is_the_undisturbed_one_s(tmp_path: Path) -> None:
    """With precision=auto too: every byte of bundle.json."""
    recipe = RECIPE.replace("precision=fp32", "precision=auto")
    list(started(tmp_path / "whole", recipe))
    stopped_after(tmp_path / "run", 8, recipe)
    events = list(resumed(tmp_path / "run"))
    assert any(isinstance(event, Checkpointed) for event in events)
    written = [json.loads((tmp_path / name / "bundle/bundle.json").read_text()) for name in ("whole", "run")]
    assert written[0] == written[1]
    assert open_bundle(tmp_path / "run").provenance.recipe["precision"] == "auto"


# ---- data ----


@pytest.mark.parametrize("where", [".", "runs/x", "disc/run"])
def test_a_run_never_lies_among_the_classes(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(write_photos(tmp_path / "photos", each=4))
    out = None if where == "." else where
    with pytest.raises(SpecError, match=rf"would lie in its data.*--out {tmp_path}/run"):
        fit("resnet20 depths=1,1,1", ".", "default epochs=1 batch=4 size=16", out, RunOptions(device="cpu", threads=1))
    assert sorted(path.name for path in Path().iterdir()) == ["disc", "stripe"]
    fit("resnet20 depths=1,1,1", ".", "default epochs=1 batch=4 size=16", "../run", RunOptions(device="cpu", threads=1))


def test_processes_with_other_data_are_refused() -> None:
    """What rank 1 has is compared with rank 0's; equal ones pass."""
    theirs = SimpleNamespace(all_gather=lambda value: [value, ("node1", changed(value[1]))])
    ours = SimpleNamespace(all_gather=lambda value: [value, ("node1", value[1])])
    require_equal_data(splits(), ours)  # type: ignore[arg-type]
    with pytest.raises(
        DataError, match=r"different val data: process 0 on .* has 30 images .*process 1 on node1 has 29"
    ):
        require_equal_data(splits(), theirs)  # type: ignore[arg-type]
    require_equal_data(splits(), ProcessGroup())


def changed(parts: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    return [parts[0], ("val", parts[1][1] - 1, "another")]


def test_the_log_says_how_a_run_ended(whole: Path) -> None:
    last = run_module.last_lines(whole / "metrics.jsonl")[-1]
    assert run_module.is_finished(last) and last["reason"] == "done"
    assert not run_module.is_finished({**last, "reason": "SIGTERM"})
