"""CSV lists with people's own headers: columns named, known by name, or shown by the first row; ids found in folders."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from making import image, pixels

from plusx.cli.main import main
from plusx.data import open_data, open_eval
from plusx.data.check import check
from plusx.errors import DataError

N = 12


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def images(folder: Path, numbers=range(N)) -> None:
    for i in numbers:
        image(folder / f"img{i:03d}.png", i)


def write(path: Path, header: list[str], rows: Sequence[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def agrees(splits, n: int = N, classes=("even", "odd")) -> None:
    """Every image is the one that was painted for its number, and its label the number's."""
    assert splits.train.classes == tuple(classes) and len(splits.train) + len(splits.val) == n
    for data in (splits.train, splits.val):
        for i in range(len(data)):
            number = int(Path(data.names[i]).stem[3:])
            assert (data.read(i) == pixels(number)).all() and data.labels[i] == number % 2


WORDS = ("even", "odd")
HEADERS = [
    ("id", "breed"), ("image_id", "label"), ("Image", "Category"), ("file name", "target"), ("filepaths", "labels"), ("photo", "kind of dog"),
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_usual_headers_are_known_and_said(tmp_path, header):
    images(tmp_path / "images")
    rows = [[f"images/img{i:03d}.png", WORDS[i % 2]] for i in range(N)]
    splits = open_data(write(tmp_path / "l.csv", list(header), rows))
    agrees(splits)
    assert splits.notes == (f"l.csv: images from column {header[0]!r}, classes from column {header[1]!r}",)


def test_a_first_row_shows_which_column_names_images(tmp_path):
    images(tmp_path)
    rows = [[WORDS[i % 2], "x", f"img{i:03d}.png"] for i in range(N)]
    agrees(open_data(write(tmp_path / "l.csv", ["class", "who", "what"], rows)))


def test_named_columns_win_over_guesses(tmp_path):
    images(tmp_path)
    rows = [["9.png", "wrong", f"img{i:03d}.png", WORDS[i % 2]] for i in range(N)]
    path = write(tmp_path / "l.csv", ["path", "label", "scan", "finding"], rows)
    agrees(open_data(path, path_column="scan", label_column="Finding"))
    assert check(path, path_column="scan", label_column="finding").n_train == 10
    assert len(open_eval(path, WORDS, path_column="scan", label_column="finding")) == N
    with pytest.raises(DataError, match=r"no column 'scans'; its columns are: path, label, scan, finding"):
        open_data(path, path_column="scans")


def test_two_candidates_are_refused_with_the_option(tmp_path):
    images(tmp_path)
    rows = [[f"img{i:03d}.png", f"img{i:03d}.png", WORDS[i % 2], i % 2] for i in range(N)]
    path = write(tmp_path / "l.csv", ["file", "image", "breed", "category"], rows)
    with pytest.raises(DataError, match=r"columns 'file' and 'image' .* --path-column"):
        open_data(path)
    with pytest.raises(DataError, match=r"columns 'breed' and 'category' .* --label-column"):
        open_data(path, path_column="file")
    agrees(open_data(path, path_column="file", label_column="breed"))


@pytest.mark.parametrize("folder", ["train", "train_images", "images", "all/deep", ""])
@pytest.mark.parametrize("suffix", ["", ".png"])
def test_ids_are_found_in_the_folders_beside(tmp_path, folder, suffix):
    images(tmp_path / folder)
    rows = [[f"img{i:03d}{suffix}", WORDS[i % 2]] for i in range(N)]
    splits = open_data(write(tmp_path / "l.csv", ["id", "breed"], rows))
    agrees(splits)
    found = any("were found in folders" in note for note in splits.notes)
    assert found == bool(folder or not suffix)


def test_kaggles_labels_beside_flat_train_and_test(tmp_path):
    images(tmp_path / "train")
    images(tmp_path / "test", range(50, 56))
    write(tmp_path / "labels.csv", ["id", "breed"], [[f"img{i:03d}", WORDS[i % 2]] for i in range(N)])
    write(tmp_path / "sample_submission.csv", ["id", "breed"], [[f"img{i:03d}", "even"] for i in range(50, 56)])
    splits = open_data(tmp_path)
    agrees(splits)
    assert splits.notes[0] == f"the classes are those of {tmp_path / 'labels.csv'}"
    write(tmp_path / "more.csv", ["id", "breed"], [[f"img{i:03d}", "x"] for i in range(N)])
    with pytest.raises(DataError, match=r"labels.csv and more.csv .* could each give the classes. Name one: --data"):
        open_data(tmp_path)


def test_train_csv_with_an_unlabelled_test_csv(tmp_path):
    images(tmp_path / "train_images")
    images(tmp_path / "test_images", range(6))  # the same names, other images
    write(tmp_path / "train.csv", ["image_id", "label"], [[f"img{i:03d}.png", WORDS[i % 2]] for i in range(N)])
    write(tmp_path / "test.csv", ["image_id"], [[f"img{i:03d}.png"] for i in range(6)])
    splits = open_data(tmp_path)
    agrees(splits)
    assert all(name.startswith("train_images/") for name in splits.train.names)
    assert any("no column of classes" in note for note in splits.notes)


def test_folders_of_images_are_no_classes_where_a_list_gives_them(tmp_path):
    images(tmp_path / "HAM_images_part_1", range(6))
    images(tmp_path / "HAM_images_part_2", range(6, N))
    write(
        tmp_path / "meta.csv", ["lesion", "image_id", "label"], [["x", f"img{i:03d}", WORDS[i % 2]] for i in range(N)]
    )
    agrees(open_data(tmp_path))


def test_class_folders_win_over_a_list(tmp_path):
    for k, name in enumerate(("ant", "bee")):
        images(tmp_path / name, range(6 * k, 6 * k + 6))
    write(tmp_path / "labels.csv", ["id", "breed"], [[f"img{i:03d}", "x"] for i in range(N)])
    assert open_data(tmp_path).train.classes == ("ant", "bee")


def test_a_name_of_several_files_is_skipped_with_both(tmp_path):
    images(tmp_path / "a")
    images(tmp_path / "b", range(1))
    splits = open_data(write(tmp_path / "l.csv", ["id", "breed"], [[f"img{i:03d}", WORDS[i % 2]] for i in range(N)]))
    agrees(splits, N - 1)
    (row,) = splits.skipped
    assert row.reason == "several files have this name (a/img000.png, b/img000.png)"


def test_columns_of_0_and_1(tmp_path):
    images(tmp_path)
    rows = [[f"img{i:03d}.png", f"{1 - i % 2:.1f}", f"{i % 2:.1f}"] for i in range(N)]
    splits = open_data(write(tmp_path / "l.csv", ["image", "even", "odd"], rows))
    agrees(splits)
    assert splits.notes == ("l.csv: images from column 'image', the class is the one of 2 columns that is 1",)


MULTI = {
    "two ones": (["image", "MEL", "NV"], lambda i: [1, int(i == 5)], "line 7: 2 of 2 columns are 1, not one; plusx trains on one class"),
    "no one": (["image", "MEL", "NV"], lambda i: [int(i != 5), 0], "line 7: 0 of 2 columns are 1"),
    "no mark": (["image", "MEL", "NV"], lambda i: [1, "x" if i == 5 else 0], "line 7: 'x' in column 'NV' is neither 0 nor 1"),
    "words": (["image", "labels"], lambda i: ["a b" if i % 3 else "a"], r"rows of several classes \('a b', and 'a' alone"),
    "bars": (["image", "label"], lambda i: [("rust", "scab", "rust|scab")[i % 3]], r"several classes \('rust\|scab'"),
    "a list": (["image", "label"], lambda i: ["['a', 'b']"], "are several classes; plusx trains on one class an image"),
}  # fmt: skip


@pytest.mark.parametrize("name", MULTI)
def test_several_classes_an_image_are_refused_with_the_reason(tmp_path, name):
    header, rest, words = MULTI[name]
    images(tmp_path)
    path = write(tmp_path / "l.csv", header, [[f"img{i:03d}.png", *rest(i)] for i in range(N)])
    with pytest.raises(DataError, match=words):
        open_data(path)


def test_names_of_two_words_are_names(tmp_path):
    images(tmp_path)
    names = ("golden retriever", "labrador retriever", "car", "race car")
    path = write(tmp_path / "l.csv", ["image", "label"], [[f"img{i:03d}.png", names[i % 4]] for i in range(N)])
    assert open_data(path).train.classes == tuple(sorted(names))


def test_columns_where_there_are_none(tmp_path):
    for name in ("ant", "bee"):
        images(tmp_path / name, range(4))
    for where in (tmp_path, "digits"):
        with pytest.raises(DataError, match="no CSV list, so it has no columns to name"):
            open_data(where, label_column="x")
        with pytest.raises(DataError, match="no CSV list"):
            open_eval(where, ("ant", "bee"), path_column="x")


def test_a_run_remembers_its_columns(tmp_path, capsys):
    """train, evaluate of the held-out share, and resume's data all read the columns that the run was told."""
    pytest.importorskip("torch")
    images(tmp_path)
    path = write(
        tmp_path / "l.csv",
        ["path", "scan", "finding", "label"],
        [["x", f"img{i:03d}.png", WORDS[i % 2], "z"] for i in range(N)],
    )
    run = str(tmp_path / "run")
    columns = ["--path-column", "scan", "--label-column", "finding"]
    words = [
        "train",
        "resnet20 depths=1,1,1",
        "--data",
        str(path),
        "--out",
        run,
        "--recipe",
        "default epochs=1 batch=4 size=16",
    ]
    assert main([*words, *columns, "--threads", "1"]) == 0
    data = json.loads(Path(run, "run.json").read_text())["data"]
    assert (data["path_column"], data["label_column"], data["classes"]) == ("scan", "finding", ["even", "odd"])
    assert "note: l.csv: images from column 'scan', classes from column 'finding'" in capsys.readouterr().err
    assert main(["evaluate", run, "--data", str(path), "--format", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["held_out"] is True and json.loads(said.out)["n"] == 2
    assert main(["data", "check", str(path), *columns]) == 0
    assert "10 training images" in capsys.readouterr().out
    assert main(["train", "--resume", run, "--label-column", "x"]) == 2
    assert "--label-column" in capsys.readouterr().err


@pytest.mark.parametrize(("header", "held"), [("split", "valid"), ("data set", "test"), ("Set", "Validation")])
def test_a_column_of_parts_is_heeded(tmp_path, header, held):
    images(tmp_path)
    parts = ["train"] * 8 + [held] * 4
    rows = [[f"img{i:03d}.png", WORDS[i % 2], parts[i]] for i in range(N)]
    path = write(tmp_path / "l.csv", ["path", "label", header], rows)
    for splits in (open_data(path), open_data(path)):
        agrees(splits)
        assert {int(Path(name).stem[3:]) for name in splits.val.names} == {8, 9, 10, 11}
    assert any("says itself which rows are train" in note for note in splits.notes)
    write(path, ["path", "label", header], [*rows[:-1], [*rows[-1][:2], "who knows"]])
    with pytest.raises(DataError, match=r"line 13 of .* names no part where others do"):
        open_data(path)


def test_a_column_of_folds_is_said_to_be_unused(tmp_path):
    images(tmp_path)
    rows = [[f"img{i:03d}.png", WORDS[i % 2], i % 5] for i in range(N)]
    splits = open_data(write(tmp_path / "l.csv", ["path", "label", "fold"], rows))
    agrees(splits)
    assert splits.notes == ("l.csv; column 'fold' names no parts and is not used",)
