"""A run that was interrupted ends in the same bits as one that was not; and a test that could not tell fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from plusx.bundles import open_bundle, read_lines, read_run
from plusx.data import Splits
from plusx.errors import BundleError
from plusx.training import Checkpointed, Evaluated, Event, Finished, RunOptions, Started, Step, Stop, fit, resume
from plusx.training import step as step_module
from training.killing import killed
from training.tinyrun import RECIPE, STEPS, digest, losses, resumed, splits, started, stopped_after

pytestmark = pytest.mark.forks


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, float]]]:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    return run, losses(started(run))


def test_same_arguments_same_bits(undisturbed: tuple[Path, list[tuple[int, float]]], tmp_path: Path) -> None:
    run, steps = undisturbed
    assert [step for step, _ in steps] == list(range(1, STEPS + 1))
    torch.manual_seed(99)
    torch.rand(7)  # the caller's generator is none of the run's business
    again = losses(started(tmp_path / "again"))
    assert again == steps
    assert digest(tmp_path / "again") == digest(run)
    assert losses(started(tmp_path / "other", seed=4)) != steps


@pytest.mark.parametrize("step", [1, 5, 6, 7, 11, 12])
def test_resume_is_exact(step: int, undisturbed: tuple[Path, list[tuple[int, float]]], tmp_path: Path) -> None:
    """Stopped in the middle of an epoch, at its last step, at the first of the next, before the last evaluation."""
    run, steps = undisturbed
    stopped_after(tmp_path / "run", step)
    rest = losses(resumed(tmp_path / "run"))
    assert rest == steps[step:]
    assert digest(tmp_path / "run") == digest(run)
    assert _evaluations(tmp_path / "run") == _evaluations(run)


def test_resume_is_exact_in_bf16(tmp_path: Path) -> None:
    """Autocast, channels last; the number format is the run's, also where `auto` would choose another by then."""
    recipe = RECIPE.replace("precision=fp32", "precision=bf16")
    steps = losses(started(tmp_path / "whole", recipe))
    stopped_after(tmp_path / "run", 8, recipe)
    assert losses(resumed(tmp_path / "run")) == steps[8:]
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")


def test_resume_is_exact_with_other_workers(tmp_path: Path, photos: Splits) -> None:
    """Photos with random crops: read by nobody ahead, then by three threads; the run's bits are the same."""

    def events(run: Path, stop: Stop | None = None) -> Iterator[Event]:
        recipe = "default epochs=2 batch=4 size=16 erase=0.5 precision=fp32"
        return fit(
            "resnet20 depths=1,1,1",
            photos,
            recipe,
            run,
            options=RunOptions(device="cpu", threads=1, workers=0, stop=stop or Stop()),
        )

    steps, stop = losses(events(tmp_path / "whole")), Stop()
    for event in events(tmp_path / "run", stop):
        if isinstance(event, Step) and event.step == 3:
            stop.signal = 15
    assert losses(resume(tmp_path / "run", data=photos, options=RunOptions(device="cpu", workers=3))) == steps[3:]
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")


def _forget(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Makes `restore` leave one thing as it is in a fresh trainer."""
    restore = step_module.Trainer.restore

    def forgetful(self: step_module.Trainer, tensors: dict, progress: dict) -> None:  # type: ignore[type-arg]
        fresh = {stem: {n: t.clone() for n, t in own.items()} for stem, own in self.tensors().items()}
        if what in ("model", "ema"):
            tensors = {**tensors, what: fresh[what]}
        elif what == "optimiser":
            tensors = {**tensors, "optimiser": {}}
        elif what == "running_mean":
            kept = {n: t for n, t in fresh["model"].items() if n.endswith(what)}
            tensors = {**tensors, "model": {**tensors["model"], **kept}}
        else:
            progress = {**progress, what: getattr(self.progress, what)}
        restore(self, tensors, progress)

    monkeypatch.setattr(step_module.Trainer, "restore", forgetful)


@pytest.mark.parametrize("what", ["model", "optimiser", "ema", "running_mean", "step", "evaluated", "loss_sum"])
def test_every_restored_field_matters(
    what: str, undisturbed: tuple[Path, list[tuple[int, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: with one field not restored, something a user sees is different."""
    run, steps = undisturbed
    stopped_after(tmp_path / "run", 8)
    _forget(monkeypatch, what)
    try:
        rest = losses(resumed(tmp_path / "run"))
    except Exception:
        return
    same_rows = _evaluations(tmp_path / "run") == _evaluations(run)
    assert (rest, digest(tmp_path / "run"), same_rows) != (steps[8:], digest(run), True)


@pytest.mark.parametrize("forget", [False, True])
def test_the_best_so_far_is_remembered(forget: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epoch 1 is the best by decree; a resumed run that forgot it would put epoch 2 into the bundle (timm's defect 4)."""
    from plusx.training import model_evaluation
    from plusx.training import run as run_module

    def decree(network, *arguments, **keywords):  # type: ignore[no-untyped-def]
        found = model_evaluation.evaluate_model(network, *arguments, **keywords)
        first = not (tmp_path / "run" / "bundle").exists()
        return replace(found, top1=0.9 if first else 0.1, nll=1.0)

    monkeypatch.setattr(run_module, "evaluate_model", decree)
    stopped_after(tmp_path / "run", 8)
    if forget:
        _forget(monkeypatch, "best")
    *_, last = resumed(tmp_path / "run")
    assert isinstance(last, Finished)
    assert open_bundle(tmp_path / "run").metrics["epoch"] == (2 if forget else 1)


def test_the_step_seeds_matter(
    undisturbed: tuple[Path, list[tuple[int, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of dropout and drop path: another folding, other bits."""
    _, steps = undisturbed
    stopped_after(tmp_path / "run", 8)
    monkeypatch.setattr(step_module, "seeded", lambda *_: nullcontext())
    assert losses(resumed(tmp_path / "run")) != steps[8:]


def _evaluations(run: Path) -> list[dict]:  # type: ignore[type-arg]
    return [row for row in read_lines(run / "metrics.jsonl") if row["event"] == "evaluated"]


def test_metrics_file_has_every_step_once(undisturbed: tuple[Path, list[tuple[int, float]]], tmp_path: Path) -> None:
    """Also after a kill: lines of steps that were lost are taken out, and so is a line cut short."""
    run, steps = undisturbed
    events = started(tmp_path / "run", checkpoint_steps=4)
    for event in events:
        if getattr(event, "step", 0) == 11:
            break
    events.close()  # type: ignore[attr-defined]
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    list(resumed(tmp_path / "run"))
    rows = list(read_lines(tmp_path / "run" / "metrics.jsonl"))
    assert [(row["step"], row["loss"]) for row in rows if row["event"] == "step"] == steps
    assert _evaluations(tmp_path / "run") == _evaluations(run)
    assert digest(tmp_path / "run") == digest(run)


@pytest.mark.parametrize(
    ("where", "kill_at"),
    [
        *(("Step", 1), ("Step", 5), ("Step", 11), ("Evaluated", 6), ("Evaluated", 12), ("Checkpointed", 4)),
        *(("before an fsync", at) for at in (3, 6, 12, 19, 27, 40)),
        *(("between fsync and rename", at) for at in (2, 3, 4, 5, 8)),
    ],
)
def test_kill_9_loses_nothing(
    where: str, kill_at: int, undisturbed: tuple[Path, list[tuple[int, float]]], tmp_path: Path
) -> None:
    """Killed at a step, after an evaluation, within a write and between the renames; then resumed to the end.

    The first fsyncs and the first rename make run.json: before them there is no run to resume.
    """
    run, _ = undisturbed
    assert killed(lambda: started(tmp_path / "run", checkpoint_steps=2), where, kill_at)
    list(resumed(tmp_path / "run"))
    assert digest(tmp_path / "run") == digest(run)


def test_an_evaluation_that_was_lost_stands_once(
    undisturbed: tuple[Path, list[tuple[int, float]]], tmp_path: Path
) -> None:
    """Stopped between the last step and its evaluation, resumed, killed right after the evaluation, resumed."""
    run, _ = undisturbed
    stopped_after(tmp_path / "run", 6)
    events = resumed(tmp_path / "run")
    assert any(isinstance(event, Evaluated) for event in islice(events, 2))
    events.close()  # type: ignore[attr-defined]
    list(resumed(tmp_path / "run"))
    assert _evaluations(tmp_path / "run") == _evaluations(run)


def test_a_damaged_checkpoint_is_passed_over_and_said(
    undisturbed: tuple[Path, list[tuple[int, float]]], tmp_path: Path
) -> None:
    run, _ = undisturbed
    events = started(tmp_path / "run", checkpoint_steps=2)
    for event in events:
        if isinstance(event, Checkpointed) and event.step == 10:
            break
    events.close()  # type: ignore[attr-defined]
    victim = tmp_path / "run" / "checkpoints" / "step-00000010" / "model.safetensors"
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(raw)
    events = list(resumed(tmp_path / "run"))
    first = events[0]
    assert isinstance(first, Started)
    assert first.step == 8
    assert any("step-00000010 is skipped" in note for note in first.notes)
    assert digest(tmp_path / "run") == digest(run)


def test_last_two_and_best_are_kept(tmp_path: Path) -> None:
    best: int | None = None
    written: list[int] = []
    for event in started(tmp_path / "run", checkpoint_steps=1):
        if isinstance(event, Checkpointed):
            names = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
            state = json.loads((event.path / "state.json").read_bytes())["progress"]
            best = state["best"]["step"] if state["best"] else best
            wanted = {f"step-{s:08d}" for s in (event.step - 1, event.step, best) if s}
            assert set(names) == {name for name in wanted if name in names}
            assert f"step-{event.step:08d}" in names and (best is None or f"step-{best:08d}" in names)
            assert len(names) <= 3
            written.append(event.step)
    assert written == [*range(1, STEPS + 1)]


def test_other_threads_are_said(tmp_path: Path) -> None:
    """And the caller's threads are as before when the run is over, or left."""
    stopped_after(tmp_path / "run", 3)
    before = torch.get_num_threads()
    events = resumed(tmp_path / "run", threads=before + 1)
    first = next(events)
    assert isinstance(first, Started)
    assert any(f"threads was 1 and is now {before + 1}" in note for note in first.notes)
    assert torch.get_num_threads() == first.threads == before + 1
    events.close()  # type: ignore[attr-defined]
    del events
    assert torch.get_num_threads() == before


def test_changed_data_are_refused(tmp_path: Path) -> None:
    stopped_after(tmp_path / "run", 3)
    fewer = replace(splits(), train=splits().train.subset(np.arange(89)))
    with pytest.raises(BundleError, match=r"train data of .*: 90 images then, 89 now\."):
        resume(tmp_path / "run", data=fewer)


def test_a_finished_run_resumes_to_its_result(undisturbed: tuple[Path, list[tuple[int, float]]]) -> None:
    run, _ = undisturbed
    before = digest(run)
    events: list[Event] = list(resumed(run))
    assert [type(event) for event in events] == [Started, Finished]
    (note,) = [note for note in events[0].notes if "has ended" in note]  # type: ignore[union-attr]
    assert f"after 2 of 2 epochs. To train for 2 more from its weights: plusx train --weights {run} --data DATA" in note
    assert digest(run) == before


def test_run_json_says_what_was_done(undisturbed: tuple[Path, list[tuple[int, float]]]) -> None:
    found = read_run(undisturbed[0])
    assert (found.seed, found.data.n, found.data.classes) == (3, 90, tuple("0123456789"))
    assert found.recipe["epochs"] == 2 and "epochs=2" in RECIPE
