"""plusx evaluate: best, last and averaged weights give the numbers that their tensors give by hand; what is shown is right."""

from __future__ import annotations

import json
import re
import shutil
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import functional as F

from plusx.bundles import newest_checkpoint, open_bundle, open_weights
from plusx.cli.evaluate import confusion_table
from plusx.cli.main import main
from plusx.errors import BundleError, SpecError
from plusx.metrics import Counters, Evaluation
from plusx.nn import build
from plusx.specs import ResNetSpec
from plusx.training import Hands, evaluate, fit
from training.tinyrun import RECIPE, resumed, splits, started, stopped_after

DOC = (Path(__file__).resolve().parents[2] / "docs/json.md").read_text(encoding="utf-8")
QUICK = ["--threads", "1", "--workers", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits whose last, averaged and best weights answer differently."""
    path = tmp_path_factory.mktemp("evaluate") / "run"
    recipe = "digits epochs=6 batch=64 lr=0.1 ema=0.98 keep=best precision=fp32"
    list(fit("resnet20 depths=1,1,1 widths=4,8,8 stem_width=4", "digits", recipe, path, hands=Hands("cpu", 1, 0)))
    return path


def evaluated(capsys: pytest.CaptureFixture[str], run: Path, *words: str) -> dict:  # type: ignore[type-arg]
    assert main(["evaluate", str(run), "--data", "digits", *words, "--format", "json", *QUICK]) == 0
    return json.loads(capsys.readouterr().out)


def by_hand(run: Path, file: Path) -> dict[str, object]:
    """The numbers of the tensors in `file` on the images held out: torch's own arithmetic, none of plusx's counting."""
    fields, bundle = json.loads((run / "run.json").read_text()), open_bundle(run)
    from plusx.evaluation.held_out import open_held_out

    data, own = open_held_out("digits", bundle)
    assert own and data.images is not None
    net = build(ResNetSpec.from_dict(fields["spec"]))
    net.load_state_dict({name: torch.from_numpy(np.array(t)) for name, t in load_file(file).items()})
    mean, std = (fields["preprocessing"][key][0] for key in ("mean", "std"))
    x = (torch.from_numpy(np.asarray(data.images)).double().permute(0, 3, 1, 2) / 255 - mean) / std
    y = torch.from_numpy(np.asarray(data.labels).astype(np.int64))
    with torch.no_grad():
        logits = net.double().eval()(x)
    answers, k = logits.argmax(1), logits.shape[1]
    confusion = torch.zeros(k, k, dtype=torch.int64)
    confusion.index_put_((y, answers), torch.ones_like(y), accumulate=True)
    return {
        "n": len(y),
        "correct": int((answers == y).sum()),
        "correct5": int((logits.topk(5).indices == y[:, None]).any(1).sum()),
        "nll": F.cross_entropy(logits, y).item(),
        "confusion": confusion.tolist(),
    }


def test_best_is_what_the_training_reported_to_the_digit(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = open_bundle(run).metrics
    for words in ((), ("--weights", "best")):
        found = evaluated(capsys, run, *words)
        assert {key: found[key] for key in kept if key != "epoch"} == {k: v for k, v in kept.items() if k != "epoch"}
        assert (found["weights"], found["held_out"]) == ("best", True)
        assert found["step"] == open_bundle(run).provenance.step


@pytest.mark.parametrize(("which", "file"), [("last", "model.safetensors"), ("ema", "average.safetensors")])
def test_last_and_ema_are_what_their_tensors_give(
    which: str, file: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = newest_checkpoint(run)
    assert newest is not None
    found, wanted = evaluated(capsys, run, "--weights", which), by_hand(run, newest / file)
    assert {key: found[key] for key in wanted if key != "nll"} == {k: v for k, v in wanted.items() if k != "nll"}
    assert found["nll"] == pytest.approx(wanted["nll"], rel=1e-5)
    assert found["step"] == int(newest.name[5:]) and found["weights"] == which


def test_the_three_differ(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Negative control: weights of another kind would not pass for those asked for."""
    assert len({evaluated(capsys, run, "--weights", which)["nll"] for which in ("best", "last", "ema")}) >= 2
    newest = newest_checkpoint(run)
    assert newest is not None
    swapped = by_hand(run, newest / "average.safetensors")
    assert evaluated(capsys, run, "--weights", "last")["nll"] != pytest.approx(swapped["nll"], rel=1e-3)


def test_the_last_epochs_average_is_what_training_said(run: Path, tmp_path: Path) -> None:
    """ema at the end of an epoch is what the trainer judged then: the line of the log, to the digit."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["event"] == "evaluated"][-1]
    found = evaluate(run, "digits", weights="ema", device="cpu", threads=1)
    assert (found.top1, found.nll, found.n) == (last["top1"], last["nll"], last["n"])


def test_a_run_without_a_bundle_yet(tmp_path: Path) -> None:
    stopped_after(tmp_path / "run", 4)  # in the first epoch: a checkpoint, no evaluation
    with pytest.raises(BundleError, match="has no bundle yet"):
        evaluate(tmp_path / "run", splits().val, device="cpu")
    assert evaluate(tmp_path / "run", splits().val, weights="last", device="cpu").n == 30


def test_a_damaged_checkpoint_is_passed_over_and_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    newest = newest_checkpoint(copy)
    assert newest is not None
    raw = bytearray((newest / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (newest / "model.safetensors").write_bytes(raw)
    assert main(["evaluate", str(copy), "--data", "digits", "--weights", "last", "--format", "json", *QUICK]) == 0
    out, err = capsys.readouterr()
    assert f"note: checkpoint {newest.name} is passed over: " in err
    before = newest_checkpoint(copy)
    assert before is not None and json.loads(out)["step"] == int(before.name[5:]) < int(newest.name[5:])


def test_what_is_not_there_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list(started(tmp_path / "plain", RECIPE.replace("ema=0.9 ", "")))
    for words, says in (
        (
            [str(tmp_path / "plain"), "--weights", "ema"],
            "averages no weights (its recipe has ema=0); choose --weights last",
        ),
        ([str(run / "bundle"), "--weights", "last"], "is a bundle, it has no last weights; name its run"),
        ([str(run), "--weights", "lst"], "unknown weights 'lst'. Did you mean 'last'? Allowed: best, last, ema"),
        ([str(tmp_path / "none"), "--weights", "ema"], "no run at"),
    ):
        assert main(["evaluate", *words, "--data", "digits", *QUICK]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and says in err
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/run.json").write_bytes((run / "run.json").read_bytes())
    with pytest.raises(BundleError, match="has no whole checkpoint yet"):
        open_weights(tmp_path / "bare", "last")
    with pytest.raises(SpecError):
        open_weights(run, "worst")


# ---- what is shown ----


def wilson_by_hand(hits: int, n: int) -> tuple[float, float]:
    """Roots of (p - hits/n)² = z² p (1-p) / n, the definition (Wilson 1927), by the quadratic formula."""
    z2, share = 1.959963984540054**2, hits / n
    a, b, c = 1 + z2 / n, -(2 * share + z2 / n), share * share
    root = sqrt(max(0.0, b * b - 4 * a * c))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_table_json_and_file_agree(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluated(capsys, run)
    words = ["evaluate", str(run), "--data", "digits", "--confusion", *QUICK]
    assert main([*words, "-o", str(tmp_path / "table.txt")]) == 0
    assert capsys.readouterr().out == ""
    text = (tmp_path / "table.txt").read_text()
    assert main(words) == 0
    assert capsys.readouterr().out == text
    low, high = wilson_by_hand(found["correct"], found["n"])
    assert found["interval95"] == pytest.approx([low, high])
    assert f"{found['correct']} of {found['n']}; 95 %: {low:.1%} to {high:.1%}" in text
    section = DOC.split("## plusx.evaluation/1")[1].split("\n## ")[0]
    for key in {*found, *found["per_class"][0]}:
        assert re.search(rf"\b{key}\b", section), key
    for key in ("nll", "ece"):
        assert re.search(rf"^{key} +{found[key]:.4f}$", text, re.M)
    for row in found["per_class"]:
        low, high = wilson_by_hand(row["correct"], row["n"])
        assert row["interval95"] == pytest.approx([low, high], abs=1e-12)
        shown = (
            rf"^{row['class']} +{row['n']} +{row['correct']} +{row['correct'] / row['n']:.2%} +{low:.1%} to {high:.1%}$"
        )
        assert re.search(shown, text, re.M), row
    lines = text.splitlines()
    at = lines.index("true \\ predicted")
    for name, row, line in zip(range(10), found["confusion"], lines[at + 2 : at + 12], strict=True):
        assert line.split() == [str(name), *(str(count) if count else "·" for count in row)]
    worst = max((c, -i, -j) for i, row in enumerate(found["confusion"]) for j, c in enumerate(row) if i != j)
    i, j = -worst[1], -worst[2]
    first = lines[lines.index("most frequent mistakes") + 1]
    assert first == f"{i} as {j}: {worst[0]} ({worst[0] / sum(found['confusion'][i]):.1%} of {i})"


def counted(classes: int, mistakes: dict[tuple[int, int], int]) -> Evaluation:
    """An Evaluation of three images a class, all right but for `mistakes`."""
    counters = Counters([f"class-number-{i}" for i in range(classes)])
    for (true, answer), count in ({(i, i): 3 for i in range(classes)} | mistakes).items():
        counters.add(np.repeat(np.eye(classes)[[answer]], count, axis=0), [true] * count)
    return counters.result()


def test_of_many_classes_only_those_with_mistakes_are_shown() -> None:
    lines = confusion_table(counted(300, {(7, 250): 2, (40, 41): 5}))
    assert lines[1] == "true \\ predicted, 4 of 300 classes: those with most mistakes"
    assert [line.split() for line in lines[3:7]] == [
        ["class-number-7", "3", "·", "·", "2"],
        ["class-number-40", "·", "3", "5", "·"],
        ["class-number-41", "·", "·", "3", "·"],
        ["class-number-250", "·", "·", "·", "3"],
    ]
    assert lines[-2:] == [
        "class-number-40 as class-number-41: 5 (62.5% of class-number-40)",
        "class-number-7 as class-number-250: 2 (40.0% of class-number-7)",
    ]
    assert confusion_table(counted(300, {})) == ["", "no mistakes"]
    assert len(confusion_table(counted(300, {(i, i + 1): 1 for i in range(299)}))) == 3 + 16 + 2 + 10


def test_resumed_run_gives_the_same_last_weights(tmp_path: Path) -> None:
    """last of a run that was stopped and resumed is last of one that was not."""
    list(started(tmp_path / "whole"))
    stopped_after(tmp_path / "run", 7)
    list(resumed(tmp_path / "run"))
    a, b = (
        evaluate(tmp_path / name, splits().val, weights="last", device="cpu", threads=1) for name in ("whole", "run")
    )
    assert a.nll == b.nll
