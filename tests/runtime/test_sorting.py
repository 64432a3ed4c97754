"""Copying into class folders: nothing is lost, overwritten, or written outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plusx.runtime import Prediction
from plusx.runtime.sorting import Sorter, folder_name


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_each_goes_to_its_class(tmp_path: Path) -> None:
    for name in ("a/x.jpg", "b/x.jpg", "torn.jpg", "dull.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    sort = Sorter(tmp_path / "out")
    rows = [
        Prediction(str(tmp_path / "a/x.jpg"), None, (("cat", 0.9),)), Prediction(str(tmp_path / "b/x.jpg"), None, (("cat", 0.8),)),
        Prediction(str(tmp_path / "torn.jpg"), "damaged"), Prediction(str(tmp_path / "dull.jpg"), None),
        Prediction(str(tmp_path / "gone.jpg"), "cannot be read"),
    ]  # fmt: skip
    for _ in range(2):  # again, as --resume may: nothing is doubled
        for row in rows:
            sort(row)
    assert tree(tmp_path / "out") == {
        "cat/x.jpg": b"a/x.jpg",
        "cat/x-2.jpg": b"b/x.jpg",
        "_not_read/torn.jpg": b"torn.jpg",
        "_unsure/dull.jpg": b"dull.jpg",
    }
    assert [line.startswith(str(tmp_path / "gone.jpg")) for line in sort.failed] == [True, True]
    assert (tmp_path / "a/x.jpg").exists(), "originals stay"


@pytest.mark.parametrize("label", ["../../evil", "/etc/evil", "..", ".", "", "a\0b", "_unsure", "a\nb", "x" * 300])
def test_a_hostile_class_stays_inside(label: str, tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"p")
    out = tmp_path / "deep" / "out"
    Sorter(out)(Prediction(str(tmp_path / "p.jpg"), None, ((label, 1.0),)))
    assert [p.parent.parent for p in tmp_path.rglob("p.jpg") if p.parent != tmp_path] == [out]
    assert not (out / "_unsure").exists()


@given(st.text(max_size=30))
def test_any_text_makes_one_folder_name(label: str) -> None:
    name = folder_name(label)
    assert (
        name and os.path.basename(name) == name and name not in (".", "..", "_unsure", "_not_read") and "\0" not in name
    )


def test_a_pipe_is_not_copied(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    sort = Sorter(tmp_path / "out")
    sort(Prediction(str(tmp_path / "pipe.jpg"), "not a regular file"))
    assert len(sort.failed) == 1
