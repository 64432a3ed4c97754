"""plusx train and recipes as a user meets them: what is printed, what is refused, how it stops."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plusx.bundles import open_bundle, read_run
from plusx.cli.main import main
from plusx.training.recipe import Recipe, parse_recipe
from plusx.training.recipe_keys import KEYS
from plusx.training.recipes import NAMES
from training.tinyrun import write_photos
from waiting import HANG

TINY = ["resnet18", "depths=1,1", "widths=4,8", "stem=3x3", "stem_width=4"]
QUICK = ["--threads", "1", "--workers", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def photos(here: Path) -> Path:
    return write_photos(here / "photos")


def train(*words: str) -> int:
    return main(["train", *TINY, *words, *QUICK])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr: the only one that is not a note."""
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("plusx: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_folder_of_photos_and_nothing_more(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "disc" / "cut.jpg").write_bytes((photos / "disc" / "03.jpg").read_bytes()[:300])
    assert train("--data", "photos", "--recipe", "default epochs=2 batch=8 size=16") == 0
    out, err = capsys.readouterr()
    assert re.search(r"^bundle +runs/resnet18-photos-001/bundle$", out, re.M)
    assert re.search(r"^next +plusx predict runs/resnet18-photos-001 IMAGE", out, re.M)
    assert "writes to runs/resnet18-photos-001; 2 epochs will take about" in err
    assert "\x1b" not in out + err and "\r" not in out + err  # a pipe: no colour, no bar
    assert len(re.findall(r"^epoch +\d+/2 .* images/s", err, re.M)) == 2
    assert "1 image cannot be used and is skipped; skipped.csv says why" in err
    assert len(re.findall(r"cut\.jpg", err)) == 1, "a skipped image is listed once"
    assert re.search(r"^report +runs/resnet18-photos-001/report.html$", out, re.M)
    assert Path("runs/resnet18-photos-001/report.html").read_text(encoding="utf-8").startswith("<!")
    head, row = Path("runs/resnet18-photos-001/skipped.csv").read_text().splitlines()
    assert head == "path,reason" and "photos/disc/cut.jpg,the image is damaged" in row
    bundle = open_bundle("runs/resnet18-photos-001")
    assert bundle.classes == ("disc", "stripe")
    assert (bundle.spec.classes, bundle.spec.in_channels) == (2, 3)
    assert (bundle.preprocessing.crop_px, bundle.preprocessing.resize_px) == (16, 18)

    assert (
        train(
            "--data", "photos", "--recipe", "default epochs=1 batch=8 size=16", "--weights", "runs/resnet18-photos-001"
        )
        == 0
    )
    assert "runs/resnet18-photos-002" in capsys.readouterr().out


def test_weights_of_other_classes_get_a_new_head(here: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = ["--recipe", "default epochs=1 batch=8 size=16 lr=1e-9"]
    write_photos(here / "others", ("a", "b", "c"))
    assert train("--data", "photos", "--out", "first", *recipe) == 0
    assert main(["train", "--weights", "first", "--data", "others", "--out", "second", *recipe, *QUICK]) == 0
    assert (
        "the classifier starts from random weights: first has 2 classes (disc, stripe), the data has 3"
        in capsys.readouterr().err
    )
    before, after = open_bundle("first").weights(), open_bundle("second").weights()
    assert abs(before["conv1.weight"] - after["conv1.weight"]).max() < 1e-5
    assert after["fc.weight"].shape[0] == 3
    assert main(["train", "resnet34", "--weights", "first", "--data", "others", *recipe, *QUICK]) == 2
    assert "do not fit resnet34" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "digits", "--recipe", "digits epohcs=2"], "Did you mean 'epochs'? Allowed: epochs, batch"),
        (["--data", "digits", "--recipe", "digit"], "Did you mean 'digits'? Allowed: default, digits"),
        (["--data", "digits", "--recipe", "lr=0.1 epohcs=2"], "Did you mean 'epochs'?"),
        (
            ["--data", "digits", "--recipe", "epochs=2", "--epochs", "3"],
            "--epochs 3 and epochs= in --recipe 'epochs=2' set",
        ),
        (["--data", "digits", "--recipe", "digits lr=1", "--lr", "1"], "Remove one of them."),
        (
            ["--data", "digits", "--recipe", "precision=fp32", "--precision", "bf16"],
            "--precision bf16 and precision= in",
        ),
        (["--data", "digits", "--epochs", "0"], "--epochs takes a whole number from 1 to 1000000"),
        (["--data", "digits", "--lr", "fast"], "--lr takes a finite number above 0, up to 1000000, not 'fast'"),
        (["--data", "digits", "--batch", "0"], "--batch takes a whole number from 1"),
        (["--data", "digits", "--recipe", "digits lr=0.1 lr=0.2"], "lr is written twice (0.1 and 0.2)"),
        (["--data", "digits", "--recipe", "digits lr=fast"], "lr takes a number above 0, not 'fast'"),
        (["--data", "digits", "--recipe", "digits lr=nan"], "lr takes a number above 0, not 'nan'"),
        (
            ["--data", "digits", "--recipe", "digits flip=maybe"],
            "unknown flip 'maybe'. Did you mean 'yes'? Allowed: yes, no",
        ),
        (["--data", "digits", "--recipe", "digits crop=shfit"], "Did you mean 'shift'?"),
        (["--data", "digits", "--recipe", "digits batch=0"], "batch takes a whole number from 1"),
        (["--data", "digits", "--recipe", "digits batch=1"], "batch=1 is too small for batch norm"),
        (["norm=frozen", "--data", "digits", "--recipe", "digits batch=8 accumulate=9"], "Write accumulate=8 or less"),
        (
            ["--data", "digits", "--recipe", "digits batch=8 accumulate=5"],
            "Write accumulate=4 or less, or train a network without batch norm",
        ),
        (["--data", "digits", "--minutes", "0"], "--minutes takes a finite number above 0, up to 1000000, not '0'"),
        (["--data", "digits", "--device", "tpu"], "Write one of auto, cpu, cuda, mps"),
        (["--data", "digits", "--device", "mps"], "torch finds none here"),
        (["--data", "digits", "--threads", "0"], "--threads takes a whole number from 1 to 1024, not '0'"),
        (["--data", "digits", "--workers", "-1"], "--workers takes a whole number from 0 to 1024, not '-1'"),
        (["--data", "digits", "--precision", "fp8"], "--precision"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "photos", "--val-split", "1"], "--val-split takes a finite number above 0 and below 1, not '1'"),
        (["--data", "digits", "classes=4"], "The network says classes=4, but the data has 10"),
        (["--data", "digits", "in_channels=3"], "The network says in_channels=3, but the data has 1"),
        (["--data", "digits", "until=layer1"], "no classifier to train"),
        (["--data", "digits", "depth=1"], "depth"),
        (["--data", "digits", "--weights", "nothing"], "no bundle at nothing"),
        ([], "plusx train needs images"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    words: list[str], says: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *TINY, *words]) == 2
    assert says in one_line(capsys)
    assert not Path("runs").exists()


def test_an_output_that_holds_a_run_is_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").mkdir()
    Path("taken/run.json").write_text("{}")
    assert train("--data", "digits", "--out", "taken") == 2
    assert "taken already holds a run" in one_line(capsys)
    assert Path("taken/run.json").read_text() == "{}"


def test_no_room_on_disk_is_said_before_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 10**9, 1000))
    assert train("--data", "digits", "--out", "run") == 2
    assert "but the checkpoints of this run need" in one_line(capsys)
    assert not Path("run").exists()


def test_small_images_in_a_large_stem_are_remarked(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["resnet18", "depths=1,1", "widths=4,8", "stem_width=4", "--data", "digits", "--recipe", "digits epochs=1"]
    assert main(["train", *words, *QUICK]) == 0
    assert "stem=3x3 fits better" in capsys.readouterr().err


def test_minutes_shorten_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--data", "digits", "--recipe", "digits epochs=5000", "--minutes", "0.02", "--out", "run") == 0
    assert re.search(r"note: \d+ of 5000 epochs fit into 0.02 minutes", capsys.readouterr().err)
    assert read_run("run").recipe["epochs"] < 200


def test_resume_takes_nothing_that_makes_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "resnet18", "--resume", "run", "--seed", "1"]) == 2
    assert "--resume run takes NETWORK, --seed from the run itself. Leave them out." in one_line(capsys)
    assert main(["train", "--resume", "run"]) == 2
    assert "no run at run" in one_line(capsys)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(number: int, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "plusx",
        "train",
        *TINY,
        "--data",
        "digits",
        "--recipe",
        "digits epochs=900",
        "--out",
        "a run",
    ]
    with subprocess.Popen([*command, *QUICK], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        for line in process.stderr:
            if line.startswith("epoch   2/900"):
                process.send_signal(number)
                break
        rest = process.stderr.read().splitlines()
        assert process.wait(HANG) == code
        assert process.stdout.read() == ""
    assert rest[-1] == "plusx train --resume 'a run'"
    assert len(os.listdir("a run/checkpoints")) >= 1
    assert main(["train", "--resume", "a run", "--out", "b"]) == 2


@pytest.mark.parametrize(
    ("words", "recipe"),
    [
        (["--epochs", "1", "--batch", "64"], "digits epochs=1 batch=64"),
        (["--recipe", "epochs=1 flip=yes"], "digits epochs=1 flip=yes"),
        (["--recipe", "epochs=1", "--lr", "0.02", "--size", "8"], "digits epochs=1 lr=0.02 size=8"),
        (["--recipe", "default epochs=1", "--lr", "0.02"], "default epochs=1 lr=0.02"),
    ],
)
def test_recipe_keys_as_people_type_them(words: list[str], recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the run says its recipe is, against the recipe written out in full."""
    assert train("--data", "digits", "--out", "run", *words) == 0
    capsys.readouterr()
    found, wanted = read_run("run").recipe, parse_recipe(recipe).to_dict()
    settled = (
        "crop",
        "shift",
        "size",
        "precision",
        "eval_crop",
        "interpolation",
    )  # auto becomes a value when the data is known
    free = [key for key in settled if f"{key}=" not in recipe]
    assert {k: v for k, v in found.items() if k not in free} == {k: v for k, v in wanted.items() if k not in free}


def test_every_recipe_key_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    fields = [name for name in parse_recipe("default").to_dict() if name != "name"]
    assert list(KEYS) == fields, "recipe_keys.KEYS says what each key is, in the order of the fields"
    assert all(4 < len(text) < 160 and text == text.strip() for text in (key.meaning for key in KEYS.values()))
    for words in (["recipes"], ["recipes", "digits"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        for key in fields:
            (line,) = [line for line in out.splitlines() if line.split(" ")[0] == key]
            assert line.endswith(KEYS[key].meaning)


def test_recipes_state_their_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    for name in NAMES:
        assert name in out
        assert main(["recipes", name]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"{name}: ")
        for word in ("accuracy", "seeds", "seconds", "machine", "source"):
            assert word in text.lower(), f"the head of recipes/{name}.py states no {word}"
    assert main(["recipes", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Recipe.from_dict(row) for row in found] == [parse_recipe(name) for name in NAMES]


def test_one_recipe_shows_its_values_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "tv1"]) == 0
    rows = dict(
        line.split()[:2]
        for line in capsys.readouterr().out.splitlines()
        if line.split()[:1] and line.split()[0] in KEYS
    )
    assert rows["milestones"] == "0.333,0.667" and rows["freeze"] == "none" and rows["eval_size"] == "auto"
    assert (rows["lr"], rows["batch"], rows["nesterov"]) == ("0.1", "256", "no")


@pytest.mark.parametrize("text", ["default", "digits lr=0.03 flip=yes size=12", "default shift=2 ema=0.99 keep=last"])
def test_a_recipe_prints_as_the_words_that_make_it(text: str) -> None:
    assert str(parse_recipe(text)) == " ".join([text.split()[0], *sorted(text.split()[1:], key=_place)])
    assert parse_recipe(str(parse_recipe(text))) == parse_recipe(text)


def _place(word: str) -> int:
    return list(parse_recipe("default").to_dict()).index(word.partition("=")[0])


@pytest.mark.slow
def test_a_signal_is_obeyed_within_five_seconds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At random moments of a training, SIGTERM and SIGINT in turn: from the signal to the end of the process."""
    draw, took = random.Random(0), []
    for i in range(12):
        out, number = here / f"run{i}", (signal.SIGTERM, signal.SIGINT)[i % 2]
        words = ["resnet20", "--data", "digits", "--recipe", "digits epochs=200 ema=0.9", "--out", str(out), *QUICK]
        child = subprocess.Popen([sys.executable, "-m", "plusx", "train", *words], stderr=subprocess.DEVNULL)
        while not (out / "metrics.jsonl").exists():
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 1.5))
        begun = time.monotonic()
        child.send_signal(number)
        assert child.wait(HANG) == 128 + number
        took.append(time.monotonic() - begun)
        assert len(list((out / "checkpoints").glob("step-*"))) >= 1
    with capsys.disabled():
        print(
            f"\nfrom signal to end, n = {len(took)}: median {sorted(took)[len(took) // 2]:.2f} s, most {max(took):.2f} s"
        )
    assert max(took) < 5


def test_a_stopped_run_in_stages_names_its_best_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from plusx.cli.train import _tell_how_to_resume
    from plusx.training.events import Finished

    kept = {"stage": "probe", "n": 20, "top1": 0.9, "nll": 0.3, "epoch": 1}
    _tell_how_to_resume(Finished(1, 1, "SIGINT", 9.0, tmp_path, tmp_path / "bundle", kept))
    said = capsys.readouterr().err
    assert f"of probe, is in {tmp_path / 'bundle'}" in said
    assert said.splitlines()[-1] == f"plusx train --resume {tmp_path}"
