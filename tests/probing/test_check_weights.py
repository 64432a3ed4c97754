"""plusx data check --weights: what was planted in photographs is in the table, the JSON and the page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.cli.main import main
from plusx.images import decode
from plusx.images.thumbnail import thumbnail
from shipping import photo_bundle

pytest.importorskip("openvino")
pytest.importorskip("sklearn")
CLASSES = ("ant", "bee", "cow")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(photo_bundle(tmp_path_factory.getbasetemp(), "resnet18 depths=1,1 widths=8,32 stem_width=8 classes=3"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of three colours, 16 and 8 images each; one bee among the ants, one image of each part nearly the same."""
    root = tmp_path_factory.mktemp("planted")
    random = np.random.default_rng(0)
    for part, n in (("train", 16), ("val", 8)):
        for colour, name in enumerate(CLASSES):
            for i in range(n):
                mean = 40 + 140 * np.eye(3)[colour] + random.normal(0, 8, 3)
                small = np.clip(random.normal(mean, 35, (5, 6, 3)), 0, 255).astype(np.uint8)
                path = root / part / name / f"{i:02d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(small).resize((96, 80), Image.Resampling.BICUBIC).save(path, quality=92)
    shutil.move(root / "train/bee/03.jpg", root / "train/ant/bee-03.jpg")
    Image.open(root / "train/cow/05.jpg").resize((90, 75)).save(root / "val/cow/again.jpg", quality=88)
    shutil.copy(root / "train/cow/07.jpg", root / "val/cow/equal.jpg")
    return root


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.getbasetemp() / "check-cache"))
    monkeypatch.setenv("PLUSX_THREADS", "1")


def words(planted: Path, network: str, *more: str) -> list[str]:
    return ["data", "check", str(planted), "--weights", network, "--precision", "fp32", *more]


def test_json_has_what_was_planted(planted, network, capsys):
    assert main(words(planted, network, "--format", "json")) == 0
    whole = json.loads(capsys.readouterr().out)
    found = whole["features"]
    assert whole["schema"] == "plusx.data-check/1" and whole["counts"]["labels"] == len(found["labels"])
    first = found["labels"][0]
    assert first["path"].endswith("train/ant/bee-03.jpg") and first["part"] == "train"
    assert (first["class"], first["looks_like"]) == ("ant", "bee") and first["p_looks_like"] > first["p_class"]
    pair = found["near_leaks"][0]
    assert pair["val"]["path"].endswith("val/cow/again.jpg") and pair["train"]["path"].endswith("train/cow/05.jpg")
    assert pair["similarity"] > 0.98
    assert not any(leak["val"]["path"].endswith("equal.jpg") for leak in found["near_leaks"]), "that one is a leak"
    assert whole["counts"]["leaks"] == 1 and found["n"] == 74 and found["precision"] == "fp32"
    out = found["out_of_fold"]
    assert out["n"] == 74 and out["accuracy"] == out["correct"] / 74 > 0.85 and out["folds"] == 5
    assert [point["share"] for point in found["curve"]] == [0.25, 0.5, 0.75, 1.0]


def test_the_table_and_exit_codes(planted, network, capsys):
    assert main(words(planted, network)) == 0
    out = capsys.readouterr().out
    assert re.search(r"^near-leaks +\d+ ", out, re.M) and re.search(r"^labels +\d+ ", out, re.M)
    assert "bee-03.jpg: labelled ant" in out and "looks like bee" in out and "again.jpg" in out
    assert re.search(r"^ +100% +59 ", out, re.M) and "From 29 to 59 training images" in out.replace(
        "From 30", "From 29"
    )
    for kinds, code in (("labels", 1), ("near-leaks", 1), ("tiny", 0)):
        assert main(words(planted, network, "--fail-on", kinds)) == code
    capsys.readouterr()
    assert main(["data", "check", str(planted), "--format", "json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert "labels" not in plain["counts"] and "features" not in plain


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_shows_the_images(planted, network, tmp_path, lang, capsys):
    page = tmp_path / "check.html"
    assert main(words(planted, network, "-o", str(page), "--lang", lang)) == 0
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 1 << 20 and text.count("data:image/jpeg;base64,") >= 3
    assert "ant/bee-03.jpg" in text and "cow/again.jpg" in text and "<svg" in text
    assert ("Suspected labels" in text, "可疑标签" in text) == ((True, False) if lang == "en" else (False, True))
    assert not re.search(r"(src|href)=['\"]?(https?:|//)", text), "it needs nothing from elsewhere"
    assert main(["data", "check", str(planted), "-o", str(page)]) == 0
    plain = page.read_text(encoding="utf-8")
    assert "data:image" not in plain and "<svg" not in plain and "equal.jpg" in plain


def test_a_page_of_many_images_stays_small(tmp_path, monkeypatch):
    from plusx.data import open_data
    from plusx.probing import page as module

    splits = open_data("digits")
    monkeypatch.setattr(module, "MOST_THUMBNAIL_BYTES", 600)
    shown = module._Thumbnails(splits)
    refs = [module.ImageRef("val", i, "x", "0") for i in range(40)]
    uris = [shown.of(ref) for ref in refs]
    assert uris[0] and not uris[-1] and shown.bytes < 600 + max(map(len, uris))
    assert uris[0].startswith("data:image/png"), "8x8 pixels are kept as they are"


def test_names_of_files_are_text_and_no_markup(planted, network, tmp_path):
    root = tmp_path / "odd"
    shutil.copytree(planted, root)
    (root / "train/ant/bee-03.jpg").rename(root / "train/ant/<img src=x onerror=alert(1)>.jpg")
    page = tmp_path / "check.html"
    assert main(words(root, network, "-o", str(page))) == 0
    text = page.read_text(encoding="utf-8")
    assert "<img src=x" not in text and "&lt;img src=x onerror=alert(1)&gt;.jpg" in text


def test_a_thumbnail_is_small_and_keeps_the_shape(planted):
    import base64
    import io

    image = decode(planted / "train/cow/05.jpg", "RGB")
    kind, _comma, content = thumbnail(image, 48).partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (48, 40)
    grey = np.full((300, 100, 1), 7, np.uint8)
    found = Image.open(io.BytesIO(base64.b64decode(thumbnail(grey).partition(",")[2])))
    assert found.size == (48, 144) and found.mode == "L"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--fail-on", "labels"], "--fail-on labels needs features"),
        (["--precision", "bf16"], "--precision is for a network that computes features"),
        (["--preprocessing", "imagenet"], "--preprocessing is for a network"),
        (["--weights", "no/such.pth"], "no/such.pth"),
        (["--fail-on", "label"], "Did you mean 'labels'"),
    ],
)
def test_mistakes_are_one_line(planted, more, says, capsys):
    assert main(["data", "check", str(planted), *more]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1
