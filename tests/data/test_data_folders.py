"""Folders of images: layouts, every odd thing found in them, the kept index, and one line for what cannot be."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.data import Data, Skipped, folders, open_data, open_eval
from plusx.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def paint(path: Path, mode: str = "RGB", size: tuple[int, int] = (20, 16), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def fill(root: Path, classes: str = "ant bee cat", n: int = 5, mode: str = "RGB") -> Path:
    for label, name in enumerate(classes.split()):
        for i in range(n):
            paint(root / name / f"{i:02d}{'.png' if i % 2 else '.jpg'}", mode, seed=label)
    return root


def test_class_folders(tmp_path):
    splits = open_data(fill(tmp_path / "photos"))
    train, val = splits.train, splits.val
    assert train.classes == val.classes == ("ant", "bee", "cat")
    assert train.counts().tolist() == [4, 4, 4] and val.counts().tolist() == [1, 1, 1]
    assert not set(train.names) & set(val.names) and train.fingerprint != val.fingerprint
    assert splits.size_px == 16 and train.channels == 3 and splits.skipped == ()
    for data in (train, val):
        for i, name in enumerate(data.names):
            assert data.classes[data.labels[i]] == name.split("/")[0] and data.read(i).shape == (16, 20, 3)
    assert train.read(0, "L").shape == (16, 20, 1) and Path(train.path(0)).is_file()


@pytest.mark.parametrize("val", ["val", "valid", "test"])
def test_train_and_val_folders(tmp_path, val):
    fill(tmp_path / "train", n=3)
    fill(tmp_path / val, n=2)
    splits = open_data(str(tmp_path), val_split=0.9)
    assert (len(splits.train), len(splits.val)) == (9, 6) and splits.val.root == tmp_path / val
    assert len(open_eval(tmp_path, splits.train.classes)) == 6
    shutil.rmtree(tmp_path / val)
    assert (len(open_data(tmp_path).train), len(open_data(tmp_path).val)) == (6, 3)


def test_val_comes_before_test(tmp_path):
    for part, n in [("train", 4), ("val", 2), ("test", 3)]:
        fill(tmp_path / part, n=n)
    assert len(open_data(tmp_path).val) == 6


def test_the_held_out_share_hangs_on_names_and_seed(tmp_path):
    root = fill(tmp_path / "photos", n=40)
    first = set(open_data(root).val.names)
    assert first == set(open_data(root).val.names) and len(first) == 24
    assert first != set(open_data(root, seed=1).val.names)
    for name in ("ant", "bee", "cat"):
        paint(root / name / "zz.png")
    assert len(first & set(open_data(root).val.names)) >= 21
    assert len(open_data(root, val_split=0.5).val) == 3 * 21
    for share in (0, 1, -1, float("nan")):
        with pytest.raises(DataError, match="val_split"):
            open_data(root, val_split=share)


def test_small_classes_keep_a_image_for_training(tmp_path):
    for name, n in [("ant", 1), ("bee", 2), ("cat", 3)]:
        fill(tmp_path, name, n)
    splits = open_data(tmp_path, val_split=0.1)
    assert splits.train.counts().tolist() == [1, 1, 2] and splits.val.counts().tolist() == [0, 1, 1]
    assert open_data(tmp_path, val_split=0.99).train.counts().tolist() == [1, 1, 1]


def test_grey_images_give_one_channel(tmp_path):
    root = fill(tmp_path / "photos", mode="L")
    assert open_data(root).train.channels == 1 and open_data(root).train.read(0).shape == (16, 20, 1)
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)).save(root / "ant" / "deep.png")
    assert open_data(root).train.channels == 1
    paint(root / "cat" / "colour.png")
    assert open_data(root).train.channels == 3 and open_data(root).val.channels == 3


def test_nested_hidden_and_strange_things(tmp_path):
    root = fill(tmp_path / "photos", "ant bee")
    paint(root / "ant" / "2024" / "may" / "deep.jpeg")
    paint(root / "ant" / "UPPER.JPG")
    for hidden in (".thumbs/x.jpg", "ant/.hidden.jpg", "ant/.cache/x.png", "__MACOSX/ant/x.jpg", "ant/__MACOSX/x.jpg"):
        paint(root / hidden)
    (root / "ant" / "notes.txt").write_text("not an image")
    (root / "Thumbs.db").write_bytes(b"x")
    (root / "ant" / "phone.heic").write_bytes(b"x")
    paint(root / "loose.jpg")
    (root / "bee" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nonsense")
    (root / "bee" / "empty.png").touch()
    splits = open_data(root)
    names = {*splits.train.names, *splits.val.names}
    assert len(names) == 12 and "ant/2024/may/deep.jpeg" in names and "ant/UPPER.JPG" in names
    assert splits.train.classes == ("ant", "bee")
    rows = {os.path.relpath(row.path, root): row.reason for row in splits.skipped}
    assert sorted(rows) == ["ant/phone.heic", "bee/broken.jpg", "bee/empty.png", "loose.jpg"]
    assert rows["bee/empty.png"] == "the file is empty" and "JPEG or PNG" in rows["ant/phone.heic"]
    assert "no class" in rows["loose.jpg"]
    assert all("\n" not in reason and str(root) not in reason for reason in rows.values())


def test_link_loops_pipes_and_dead_links_do_not_hang(tmp_path):
    root = fill(tmp_path / "photos", "ant bee")
    (root / "ant" / "again").symlink_to(root)
    (root / "bee" / "self").symlink_to(root / "bee")
    (root / "ant" / "dead.jpg").symlink_to(root / "nowhere.jpg")
    (root / "ant" / "ring.jpg").symlink_to(root / "ant" / "ring.jpg")
    os.mkfifo(root / "ant" / "pipe.jpg")
    splits = open_data(root)  # a pipe that is read, and a loop that is walked, never end
    assert {Path(row.path).name for row in splits.skipped} == {"dead.jpg", "ring.jpg", "pipe.jpg"}
    bees = [n for n in (*splits.train.names, *splits.val.names) if n.startswith("bee/")]
    assert len(bees) == 5


def test_a_link_to_a_class_folder_is_a_class(tmp_path):
    fill(tmp_path / "all")
    (tmp_path / "some").mkdir()
    for name in ("ant", "cat"):
        (tmp_path / "some" / name).symlink_to(tmp_path / "all" / name)
    assert open_data(tmp_path / "some").train.classes == ("ant", "cat")


def errors(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    fill(tmp_path / "one", "ant")
    fill(tmp_path / "empty class")
    (tmp_path / "empty class" / "dog").mkdir()
    fill(tmp_path / "all bad class", "ant bee")
    (tmp_path / "all bad class" / "eel").mkdir()
    (tmp_path / "all bad class" / "eel" / "x.jpg").write_bytes(b"x")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "no images" / "ant").mkdir(parents=True)
    (tmp_path / "no images" / "bee").mkdir()
    paint(tmp_path / "flat" / "x.jpg")
    fill(tmp_path / "differ" / "train", "ant bee cat")
    fill(tmp_path / "differ" / "val", "ant bee dog")
    fill(tmp_path / "no train" / "val", "ant bee")
    fill(tmp_path / "empty val" / "train")
    (tmp_path / "empty val" / "val").mkdir()
    fill(tmp_path / "single", n=1)
    rows = {
        "one": "one class",
        "empty class": "no images in class folder 'dog'",
        "all bad class": "No image in class folder 'eel'",
        "nothing": "no class folders",
        "no images": "no images in",
        "flat": "1 images lie directly in it",
        "differ": "only in train: cat; only in val: dog",
        "no train": "no training part",
        "empty val": "validation part of .* has no images",
        "single": "none can be held out",
        "not there": "There is no data at",
    }
    return {name: (tmp_path / name, words) for name, words in rows.items()}


def test_each_error_is_one_line_that_names_the_place(tmp_path):
    for name, (path, words) in errors(tmp_path).items():
        with pytest.raises(DataError, match=words) as caught:
            open_data(path)
        assert "\n" not in str(caught.value) and name in str(caught.value) and caught.value.exit_code == 2
    file = paint(tmp_path / "file.jpg")
    with pytest.raises(DataError, match="not a folder"):
        open_data(file)


def decodes(monkeypatch) -> list[str]:
    seen: list[str] = []
    real = folders.read_file
    monkeypatch.setattr(folders, "read_file", lambda path: (seen.append(str(path)), real(path))[1])
    return seen


def test_the_second_start_decodes_nothing(tmp_path, monkeypatch):
    root = fill(tmp_path / "photos")
    (root / "ant" / "bad.jpg").write_bytes(b"x")
    seen = decodes(monkeypatch)
    first = open_data(root)
    assert len(seen) == 16
    seen.clear()
    again = open_data(root)
    assert seen == [str(root / "ant" / "bad.jpg")], "only the bad one is tried again"
    assert again.train.fingerprint == first.train.fingerprint and again.skipped == first.skipped
    seen.clear()
    open_data(root, cache=False)
    assert len(seen) == 16


def test_an_index_of_another_decoder_is_made_again(tmp_path, monkeypatch):
    root = fill(tmp_path / "photos")
    open_data(root)
    seen = decodes(monkeypatch)
    monkeypatch.setattr("plusx.data.indexing.index_version", lambda: "pillow 99")
    open_data(root)
    assert len(seen) == 15


def test_changed_files_are_looked_at_again(tmp_path, monkeypatch):
    root = fill(tmp_path / "photos")
    first = open_data(root)
    victim = root / "bee" / "01.png"
    about = victim.stat()
    seen = decodes(monkeypatch)
    os.utime(victim, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    assert open_data(root).train.fingerprint == first.train.fingerprint and seen == [str(victim)]
    victim.write_bytes(b"x")
    changed = open_data(root)
    assert [row.path for row in changed.skipped] == [str(victim)]
    assert {changed.train.fingerprint, changed.val.fingerprint} != {first.train.fingerprint, first.val.fingerprint}


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"rules": 1}', b'{"names": [[]]}'])
def test_a_damaged_index_only_costs_time(tmp_path, damage):
    root = fill(tmp_path / "photos")
    first = open_data(root)
    (kept,) = Path(os.environ["PLUSX_CACHE"]).glob("index/*.json")
    kept.write_bytes(damage)
    assert open_data(root).train.fingerprint == first.train.fingerprint
    assert json.loads(kept.read_bytes().partition(b"\n")[2])["columns"]["name"]


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "file"))
    assert len(open_data(fill(tmp_path / "photos")).train) == 12


def test_progress_ends_at_the_total(tmp_path):
    told: list[tuple[int, int]] = []
    open_data(fill(tmp_path / "photos", n=50), progress=lambda done, total: told.append((done, total)))
    assert told == [(64, 150), (128, 150), (150, 150)]


def test_threads_change_nothing(tmp_path, monkeypatch):
    root = fill(tmp_path / "photos", n=20)
    marks = set()
    for threads in ("1", "2", "7"):
        monkeypatch.setenv("PLUSX_THREADS", threads)
        marks.add(open_data(root, cache=False).train.fingerprint)
    assert len(marks) == 1


def test_evaluation_refuses_bad_images_unless_told(tmp_path):
    root = fill(tmp_path / "photos")
    classes = ("zebra", "cat", "bee", "ant")
    data = open_eval(root, classes)
    assert isinstance(data, Data) and data.classes == classes and len(data) == 15
    for i, name in enumerate(data.names):
        assert classes[data.labels[i]] == name.split("/")[0]
    (root / "ant" / "bad.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1 image cannot be evaluated: .*bad\.jpg.*--skip-bad"):
        open_eval(root, classes)
    kept = open_eval(root, classes, skip_bad=True)
    assert len(kept) == 15 and [Path(row.path).name for row in kept.skipped] == ["bad.jpg"]
    assert all(isinstance(row, Skipped) for row in kept.skipped)
    with pytest.raises(DataError, match="'cat', which the network was not trained for"):
        open_eval(root, ("ant", "bee"), skip_bad=True)


def test_evaluation_finds_what_training_held_out(tmp_path):
    root = fill(tmp_path / "photos", n=20)
    for share, seed in [(0.2, 0), (0.4, 3)]:
        held = open_data(root, val_split=share, seed=seed).val
        again = open_eval(root, held.classes, val_split=share, seed=seed)
        assert again.names == held.names and np.array_equal(again.labels, held.labels)
    assert open_eval("digits", tuple("9876543210")).classes == tuple("9876543210")
