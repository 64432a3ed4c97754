"""Folders as people have them: parts under any name, archives' wrappers, unlabelled tests. Never parts as classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from making import image

from plusx.data import open_data, open_eval
from plusx.data.check import check
from plusx.data.folder_layout import part_of
from plusx.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def fill(root: Path, n: int = 4, classes: str = "sea street", first: int = 0) -> None:
    for k, name in enumerate(classes.split()):
        for i in range(n):
            image(root / name / f"{i}.png", first + 100 * k + i)


def flat(root: Path, n: int = 5) -> None:
    for i in range(n):
        image(root / f"x{i}.png", 1000 + i)


PARTS = [
    ("train", "val"), ("Training", "Testing"), ("TRAIN", "VALID"), ("seg_train/seg_train", "seg_test/seg_test"),
    ("birds-train", "birds-validation"), ("images/train", "images/val"), ("archive/data/train", "archive/data/test"),
    ("training_set/training_set", "test_set/test_set"), ("trainingSet", "testSet"), ("train_images", "val_images"),
    ("训练集", "测试集"), ("dataset/Train", "dataset/dev"),
]  # fmt: skip


@pytest.mark.parametrize(("train", "val"), PARTS)
def test_parts_by_peoples_names(tmp_path, train, val):
    fill(tmp_path / train, 4)
    fill(tmp_path / val, 2, first=500)
    (tmp_path / "readme.txt").write_text("about")
    splits = open_data(tmp_path)
    assert splits.train.classes == ("sea", "street") and (len(splits.train), len(splits.val)) == (8, 4)
    assert splits.train.root == tmp_path / train and splits.val.root == tmp_path / val
    assert len(open_eval(tmp_path, ("sea", "street"))) == 4
    report = check(tmp_path)
    assert (report.n_train, report.n_val) == (8, 4) and report.notes == splits.notes
    if "est" in val.lower() or val == "测试集":
        assert any("taken as the validation part" in note for note in splits.notes)


@pytest.mark.parametrize("wrapper", ["PetImages", "a/b/c", "data/images"])
def test_a_wrapper_is_passed_through_and_said(tmp_path, wrapper):
    fill(tmp_path / wrapper)
    splits = open_data(tmp_path)
    assert splits.train.classes == ("sea", "street")
    assert splits.notes == (f"Everything lies in {tmp_path / wrapper}, which is taken as the data set.",)


@pytest.mark.parametrize("test", ["test", "Testing", "test/test", "test/unknown", "test/images"])
def test_an_unlabelled_test_part_is_skipped_and_said(tmp_path, test):
    fill(tmp_path / "train", 5)
    flat(tmp_path / test)
    splits = open_data(tmp_path)
    assert splits.train.classes == ("sea", "street") and (len(splits.train), len(splits.val)) == (8, 2)
    (note,) = [note for note in splits.notes if "no labels" in note]
    assert "(5 images)" in note and "held out" in note


def test_a_third_part_and_other_folders_are_said(tmp_path):
    for part in ("train", "val", "test"):
        fill(tmp_path / part, first=len(part))
    flat(tmp_path / "pred")
    notes = open_data(tmp_path).notes
    assert len(notes) == 2 and notes[0].startswith(f"{tmp_path / 'test'} is skipped") and "pred" in notes[1]


def test_a_sample_beside_the_set_is_not_the_set(tmp_path):
    for name in ("trainingSet", "testSet", "trainingSample", "testSample"):
        fill(tmp_path / name, 6 if "Set" in name else 2)
    splits = open_data(tmp_path)
    assert splits.train.root == tmp_path / "trainingSet" and splits.val.root == tmp_path / "testSet"


@pytest.mark.parametrize(
    "names", ["bus car train", "bullet_train bus", "blood_test crash_test", "train_station test_tube dev_board"]
)
def test_classes_that_sound_like_parts_stay_classes(tmp_path, names):
    fill(tmp_path, classes=names)
    assert open_data(tmp_path).train.classes == tuple(sorted(names.split()))


def flat_train(root: Path) -> None:
    flat(root / "train")
    flat(root / "test")


def both_orders(root: Path) -> None:
    for name in ("sea", "street"):
        fill(root / name, classes="train test")


def twins(root: Path) -> None:
    fill(root / "train")
    fill(root / "Training")


def flat_val(root: Path) -> None:
    fill(root / "train")
    flat(root / "val")


def part_or_class(root: Path) -> None:
    fill(root / "train", classes="2023 2024")
    fill(root, classes="bus car")


def families(root: Path) -> None:
    for name in ("a_train", "a_test", "b_train", "b_test"):
        fill(root / name)


REFUSED = {
    "flat train and test": (
        flat_train,
        r"train has no class folders \(5 images lie directly in it\).*--data .*LIST\.csv",
    ),
    "parts inside classes": (both_orders, "which training would mix. Put the parts outside: train/sea"),
    "two training parts": (twins, "names of the same part"),
    "a flat val": (flat_val, "The validation part .* has no class folders, and 5 images lie directly in it"),
    "a part or a class": (part_or_class, "train .*to train on that alone"),
    "two families": (families, "more than one set of parts"),
    "one class": (lambda r: fill(r, classes="Dog"), r"only one class \(Dog\). Give each class"),
    "one class of nested folders": (lambda r: fill(r / "Dog", classes="2023"), "one class"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_is_refused_with_a_way_out(tmp_path, name):
    make, words = REFUSED[name]
    make(tmp_path)
    for opened in (open_data, check, lambda where: open_eval(where, ("sea", "street"), val_split=0.2)):
        with pytest.raises(DataError, match=words) as caught:
            opened(tmp_path)
        assert "\n" not in str(caught.value)


def test_the_folder_of_one_class_names_the_one_above(tmp_path):
    fill(tmp_path / "pets", classes="Cat Dog")
    with pytest.raises(DataError, match=rf"name the folder above: --data {tmp_path}/pets\.$"):
        open_data(tmp_path / "pets" / "Dog")


@pytest.mark.parametrize(
    ("name", "said"),
    [("valid", ("val", ())), ("xxx_train", ("train", ("xxx",))), ("Train2017", ("train", ())), ("training_images", ("train", ())),
     ("latest", None), ("trainer", None), ("retrain", None), ("contest", None)],
)  # fmt: skip
def test_names_of_parts(name, said):
    assert part_of(name) == said
