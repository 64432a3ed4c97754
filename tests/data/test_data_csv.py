"""CSV lists: what Python's csv module wrote is read; every odd line is left out by number; hostile ones are one line."""

from __future__ import annotations

import csv
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from making import image, pixels

from plusx.data import open_data, open_eval
from plusx.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def listed(
    path: Path, n: int = 8, first: int = 0, header: list[str] | None = None, delimiter: str = ",", words="ant bee"
) -> Path:
    names = words.split()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        if header:
            writer.writerow(header)
        for i in range(first, first + n):
            image(path.parent / "images" / f"{i}.png", i)
            row = {"path": f"images/{i}.png", "label": names[i % len(names)]}
            writer.writerow(
                [
                    row.get("path" if h in ("path", "image") else "label" if h in ("label", "Class") else h, "x")
                    for h in header or ["path", "label"]
                ]
            )
    return path


def same_pixels(data) -> None:
    for i, name in enumerate(data.names):
        seed = int(Path(name).stem)
        assert np.array_equal(data.read(i), pixels(seed)) and data.labels[i] == seed % len(data.classes)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [None, ["path", "label"], ["Class", "id", "image", "note"]])
def test_a_list(tmp_path, delimiter, header):
    path = listed(tmp_path / ("list.tsv" if delimiter == "\t" else "list.csv"), header=header, delimiter=delimiter)
    splits = open_data(path, val_split=0.25)
    assert splits.train.kind == "csv" and splits.train.classes == ("ant", "bee") and splits.size_px == 10
    assert splits.train.counts().tolist() == [3, 3] and splits.val.counts().tolist() == [1, 1]
    same_pixels(splits.train)
    same_pixels(splits.val)
    assert Path(splits.train.path(0)).is_file()


def test_a_folder_with_train_and_val_lists(tmp_path):
    listed(tmp_path / "train.csv", 8)
    listed(tmp_path / "val.csv", 4, first=20)
    splits = open_data(tmp_path)
    assert (len(splits.train), len(splits.val)) == (8, 4)
    same_pixels(splits.val)
    assert len(open_eval(tmp_path, ("ant", "bee"))) == 4
    assert len(open_eval(tmp_path / "train.csv", ("ant", "bee"))) == 8


def test_numbers_are_sorted_as_numbers(tmp_path):
    assert open_data(listed(tmp_path / "l.csv", 33, words="0 1 2 3 4 5 6 7 8 9 10")).train.classes[10] == "10"


def test_a_bom_quotes_crlf_and_chinese(tmp_path):
    image(tmp_path / "猫, 一.png", 0)
    for i in range(1, 4):
        image(tmp_path / f"{i}.png", i)
    lines = ["path,label", '"猫, 一.png",猫', "1.png,犬", "2.png,猫", "3.png,犬", ""]
    (tmp_path / "l.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    splits = open_data(tmp_path / "l.csv", val_split=0.5)
    assert splits.train.classes == ("犬", "猫") and len(splits.train) == len(splits.val) == 2


def test_odd_lines_are_left_out_by_number(tmp_path):
    path = listed(tmp_path / "l.csv", 6, header=["path", "label"])
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    os.mkfifo(tmp_path / "pipe.png")
    extra = [
        "images/0.png,bee",
        "images/1.png,bee",
        "gone.png,ant",
        "only.png",
        ",ant",
        "x.png,",
        "bad.png,ant",
        "pipe.png,bee",
        "/dev/zero,ant",
        '"a\nb.png",ant',
        "http://x/y.png,ant",
    ]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(extra))
    splits = open_data(path)
    assert len(splits.train) + len(splits.val) == 6
    text = "\n".join(f"{row.path}: {row.reason}" for row in splits.skipped)
    assert len(splits.skipped) == len(extra) and text.count("\n") == len(extra) - 1
    for words in (
        "line 8: images/0.png is listed before, as ant",
        "line 9: images/1.png is listed before",
        "gone.png: ",
        "line 11: it has 1 columns",
        "line 12: it has no path",
        "line 13: it has no label",
        "bad.png: ",
        "pipe.png: it is not a regular file",
        "/dev/zero: it is not a regular file",
        "control characters",
    ):
        assert words in text, words


HOSTILE = {
    "a million columns": b",".join([b"a"] * 1_000_000) + b"\n",
    "a thousand columns": b",".join([b"a"] * 1_000) + b"\n",
    "no line ends": b"x" * 20_000_000,
    "an open quote": b'path,label\n"' + b"x,y\n" * 500_000,
    "a null": b"path,label\na\0b.png,c\nd.png,e\n",
    "bytes": bytes(range(256)) * 10,
    "utf-16": "path,label\na.png,b\n".encode("utf-16"),
    "empty": b"",
    "only line ends": b"\n" * 1000,
    "a header alone": b"path,label\n",
    "no header, three columns": b"a.png,b,c\n",
    "names that are no images": b"hello,world\n",
    "line breaks in a header": b'"a\nb","c\nd",e\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lists_are_one_line_and_bounded(tmp_path, name):
    (tmp_path / "l.csv").write_bytes(HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(DataError, match=r"l\.csv") as caught:
        open_data(tmp_path / "l.csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert peak < 16 << 20


def test_one_class_other_classes_and_an_empty_val(tmp_path):
    with pytest.raises(DataError, match=r"one class \(ant\)"):
        open_data(listed(tmp_path / "l.csv", words="ant"))
    listed(tmp_path / "train.csv")
    listed(tmp_path / "val.csv", words="ant cat")
    with pytest.raises(DataError, match="only in train: bee; only in val: cat"):
        open_data(tmp_path)
    (tmp_path / "val.csv").write_text("path,label\n")
    with pytest.raises(DataError, match="has no images"):
        open_data(tmp_path)
    (tmp_path / "l.csv").write_text("".join(f"images/{i}.png,{i}\n" for i in range(8)))
    with pytest.raises(DataError, match=r"No class of .* has two images"):
        open_data(tmp_path / "l.csv")


def test_a_image_that_goes_away_later_is_named(tmp_path):
    train = open_data(listed(tmp_path / "l.csv")).train
    Path(train.path(0)).unlink()
    with pytest.raises(DataError, match=rf"{train.names[0]} cannot be used: it cannot be read"):
        train.read(0)


def test_class_folders_with_a_stray_list_stay_folders(tmp_path):
    for name in ("ant", "bee"):
        for i in range(3):
            image(tmp_path / "train" / name / f"{i}.png", i)
    (tmp_path / "train.csv").write_text("1,2\n")
    (tmp_path / "notes.csv").write_text("1,2\n")
    assert open_data(tmp_path).train.kind == "folder"
