"""plusx evaluate and predict on a network trained here: the same numbers, rows for bad images, exit codes."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.bundles import open_bundle
from plusx.cli.main import main
from plusx.data import open_data
from plusx.images import decode, normalise, resize_crop
from training.tinyrun import write_photos

QUICK = ["--threads", "1", "--device", "cpu"]
TINY = ["resnet18", "depths=1,1", "widths=4,8", "stem=3x3", "stem_width=4"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/ and a run trained on a part of it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("PLUSX_CACHE", str(home / "cache"))
        write_photos(home / "photos", ("disc", "stripe", "wave"), each=15)
        recipe = ["--recipe", "default epochs=3 batch=8 size=16 lr=0.2"]
        assert main(["train", *TINY, "--data", "photos", "--out", "run", "--seed", "5", *recipe, *QUICK]) == 0
    return home


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("PLUSX_CACHE", str(home / "cache"))


def evaluated(capsys: pytest.CaptureFixture[str], *words: str) -> dict:  # type: ignore[type-arg]
    assert main(["evaluate", *words, "--format", "json", *QUICK]) == 0
    return json.loads(capsys.readouterr().out)


def test_evaluate_says_what_the_training_said(capsys: pytest.CaptureFixture[str]) -> None:
    """To the digit, on the share that was held out; not on the images that were learnt."""
    found, kept = evaluated(capsys, "run", "--data", "photos"), open_bundle("run").metrics
    assert found["held_out"] is True
    assert found["n"] == 9
    for key in ("n", "correct", "top1", "nll", "ece", "per_class", "confusion"):
        assert found[key] == kept[key], key


def test_the_held_out_share_is_found_after_the_bundle_moved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shutil.copytree("run/bundle", tmp_path / "mine")
    assert evaluated(capsys, str(tmp_path / "mine"), "--data", "photos")["held_out"] is True


def test_other_images_are_evaluated_as_a_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_photos(tmp_path / "new", ("stripe", "wave"), each=4, side=30)
    found = evaluated(capsys, "run", "--data", str(tmp_path / "new"))
    assert (found["held_out"], found["n"]) == (False, 8)
    assert [row["n"] for row in found["per_class"]] == [0, 4, 4]


def test_images_too_few_to_be_shared_out_are_evaluated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_photos(tmp_path / "new", ("stripe",), each=1)
    assert evaluated(capsys, "run", "--data", str(tmp_path / "new"))["n"] == 1


def test_a_bad_image_is_an_error_unless_skipped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_photos(tmp_path / "new", ("stripe", "wave"), each=4)
    (tmp_path / "new" / "wave" / "bad.jpg").write_bytes(b"nothing")
    assert main(["evaluate", "run", "--data", str(tmp_path / "new"), *QUICK]) == 2
    assert "bad.jpg" in capsys.readouterr().err
    found = evaluated(capsys, "run", "--data", str(tmp_path / "new"), "--skip-bad")
    assert found["n"] == 8
    assert [Path(row["path"]).name for row in found["skipped"]] == ["bad.jpg"]


def test_evaluate_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run", "--data", "photos", *QUICK]) == 0
    out = capsys.readouterr().out
    assert out.startswith("top-1") and "95 %:" in out
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["disc", "stripe", "wave"]


def test_predict_is_the_network_applied(capsys: pytest.CaptureFixture[str]) -> None:
    """Against the bundle's own parts put together by hand."""
    import torch

    import plusx

    assert main(["predict", "run", "photos/wave", "--format", "jsonl", "--top", "3", *QUICK]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["path"] for row in rows] == [str(p) for p in sorted(Path("photos/wave").iterdir())]
    bundle = open_bundle("run")
    network = plusx.build(bundle.spec, bundle.weights()).eval()
    for row in rows:
        image = resize_crop(
            decode(Path(row["path"]), "RGB", at_least_px=bundle.preprocessing.resize_px), bundle.preprocessing
        )
        with torch.no_grad():
            p = network(torch.from_numpy(normalise(image[None], bundle.preprocessing)))[0].softmax(0).numpy()
        assert row["error"] is None
        assert [top["class"] for top in row["top"]] == [bundle.classes[i] for i in np.argsort(-p)]
        assert np.allclose([top["p"] for top in row["top"]], np.sort(p)[::-1], atol=1e-5)
        assert sum(top["p"] for top in row["top"]) == pytest.approx(1)


def test_a_bad_image_is_a_row_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    words = ["predict", "run", str(tmp_path / "bad.png"), "photos/disc/0?.jpg", "missing.jpg", "--format", "csv"]
    assert main([*words, *QUICK]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["path", "error", "class1", "p1", "class2", "p2", "class3", "p3"]
    assert [bool(row["error"]) for row in rows] == [True, *[False] * 10, True]
    assert rows[0]["class1"] == "" and rows[1]["class1"] in ("disc", "stripe", "wave")
    assert "2 of 12 images could not be read" in err


def test_nothing_readable_is_exit_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["predict", "run", "missing.jpg", *QUICK]) == 3
    assert "missing.jpg  not read: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "*.nothing"], "No image matches *.nothing"),
        (["nowhere", "photos"], "no bundle at nowhere"),
        (["run", "run/checkpoints"], "There are no images in run/checkpoints"),
        (["run", "photos", "--top", "0"], "--top takes a whole number from 1 to 1000000, not '0'"),
        (["run", "photos", "-o", "no/such/folder.csv"], "cannot be written"),
    ],
)
def test_bad_words_are_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", *words, *QUICK]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("plusx: ") and says in err and err.count("\n") == 1


def test_output_goes_to_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["predict", "run", "photos", "--format", "jsonl", "-o", str(tmp_path / "rows.jsonl"), *QUICK]) == 0
    assert capsys.readouterr().out == ""
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 45


def test_grey_images_and_colour_images_meet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A grey file for a network of colours: the one decode makes it three channels."""
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(tmp_path / "grey.png")
    assert main(["predict", "run", str(tmp_path / "grey.png"), *QUICK]) == 0
    assert "not read" not in capsys.readouterr().out


def test_digits_evaluate_as_they_were_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert main(["train", *TINY, "--data", "digits", "--out", out, "--recipe", "digits epochs=1", *QUICK]) == 0
    capsys.readouterr()
    found, kept = evaluated(capsys, out, "--data", "digits"), open_bundle(out).metrics
    assert (found["n"], found["nll"]) == (len(open_data("digits").val), kept["nll"])
