"""Two and three processes do what one does: the same images, numbers and, interrupted or not, the same weights."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plusx.training import RunOptions, Started, resume
from plusx.training.step import Trainer
from processes import run
from training.tinyrun import digest, splits

HERE = Path(__file__).parent
Answers = dict[str, Any]


def torchrun(processes: int, *words: object, env: dict[str, str] | None = None) -> list[str]:
    return [
        sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0", *(str(word) for word in words),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Answers, Path]]:
    """ProcessGroup size → what the worker answered, and where its runs lie."""
    folder = tmp_path_factory.mktemp("worlds")
    command = [sys.executable, str(HERE / "distributed_worker.py"), str(folder), "1", "2", "3"]
    path = os.pathsep.join([str(HERE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = run(command, env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr[-3000:]
    return {size: (json.loads((folder / f"{size}/answers.json").read_text()), folder / str(size)) for size in (1, 2, 3)}


@pytest.mark.parametrize("size", [2, 3])
def test_sums_are_in_order_of_rank(size: int, worlds: dict[int, tuple[Answers, Path]]) -> None:
    """The control: gloo's own sums of three processes are others, and others again in another layout."""
    found = worlds[size][0]["sums"]
    assert found["ours"] == [True, True, True]
    assert all(found["gloo"]) == (size == 2)


@pytest.mark.parametrize("size", [2, 3])
def test_evaluations_are_one_process_s(size: int, worlds: dict[int, tuple[Answers, Path]]) -> None:
    """1 … 17 images: no image twice, none left out, the last digits included."""
    alone, together = worlds[1][0]["evaluations"], worlds[size][0]["evaluations"]
    assert [row["n"] for row in together] == list(range(1, 18))
    assert together == alone
    assert len({row["nll"] for row in alone}) == 17 and 0 < alone[-1]["correct"] < 17


@pytest.mark.parametrize("size", [2, 3])
def test_images_are_one_process_s(size: int, worlds: dict[int, tuple[Answers, Path]]) -> None:
    """Index, label and pixels, with crops, flips, erased boxes and a policy of torchvision's."""
    alone, together = worlds[1][0]["pixels"], worlds[size][0]["pixels"]
    assert together == alone
    assert len(alone) == 60 and len({row[3] for row in alone}) > 50  # a policy may leave an 8x8 image black


@pytest.mark.parametrize("size", [2, 3])
def test_gradients_are_one_process_s(size: int, worlds: dict[int, tuple[Answers, Path]]) -> None:
    """11 images do not divide evenly: each counts the same all the same, with class weights too."""
    alone, together = worlds[1][0]["gradients"], worlds[size][0]["gradients"]
    assert together["equal"] and together["n"] == alone["n"] == 11
    assert np.abs(np.array(alone["weights"]) - together["weights"]).max() < 1e-12
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-12)
    assert alone["loss"][2] < alone["loss"][0]


@pytest.mark.parametrize("size", [2, 3])
def test_processes_stay_equal(size: int, worlds: dict[int, tuple[Answers, Path]]) -> None:
    """Weights, momenta, averages and batch statistics, to the bit; the statistics are the mean of each share's."""
    found = worlds[size][0]["statistics"]
    assert len(found["hashes"]) == size and len(set(found["hashes"])) == 1
    assert np.allclose(found["first"], found["wanted"], atol=1e-7) and np.abs(found["first"]).max() > 1e-4


@pytest.mark.parametrize("size", [2, 3])
def test_processes_fail_together(size: int, worlds: dict[int, tuple[Answers, Path]]) -> None:
    found = worlds[size][0]["failures"]
    assert found["told"] == [["DataError", "this one", rank != size - 1] for rank in range(size)]
    assert found["n"] == (2 if size == 2 else 4)
    assert len(set(found["spoilt"])) == 1 and "bad1a, bad1b" in found["spoilt"][0] and "bad0" not in found["spoilt"][0]
    assert all(found["unchanged"])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_resumed_is_undisturbed(size: int, worlds: dict[int, tuple[Answers, Path]]) -> None:
    """Bit for bit, at three processes too, where a ring's sums would depend on how its buckets are laid out."""
    answers, folder = worlds[size]
    losses, rest = answers["training"]["losses"], answers["training"]["rest"]
    assert len(losses) == 12 and 0 < len(rest) < 12
    assert rest == losses[-len(rest) :]
    assert digest(folder / "run") == digest(folder / "whole")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_another_number_of_processes_is_said_and_loses_no_image(
    size: int, worlds: dict[int, tuple[Answers, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left by `size` processes in the second epoch, resumed by one: both epochs use each of 90 images once."""
    answers, folder = worlds[size]
    seen: list[list[str]] = answers["left"]
    assert len(seen) == 8
    train_step = Trainer.train_step

    def watching(self: Trainer, images: Any, labels: Any, names: list[str]) -> Any:
        seen.append(list(names))
        return train_step(self, images, labels, names)

    monkeypatch.setattr(Trainer, "train_step", watching)
    first, *_ = resume(folder / "left", data=splits(), options=RunOptions(device="cpu", threads=1))
    assert isinstance(first, Started) and first.step == 8
    said = [note for note in first.notes if "number of processes" in note]
    assert len(said) == (size > 1) and all(f"was {size} and is now 1" in note for note in said)
    assert len(seen) == 12
    for epoch in (seen[:6], seen[6:]):
        assert sorted(name for step in epoch for name in step) == sorted(splits().train.path(i) for i in range(90))
