"""What PATH means: order, laziness, archives, lists, and everything on a disk that is no image."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import threading
import tracemalloc
from pathlib import Path

import pytest

from plusx.errors import DataError
from plusx.runtime.inputs import find_images, is_countable


def names(*paths: str | Path) -> list[str]:
    return [item.name for item in find_images([str(p) for p in paths])]


def touch(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")


def test_a_folder_is_walked_in_pathlibs_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/z.png", "a/b/c.JPG", "a.jpg", "c/readme.txt", "Z.webp", "a b/x.jpeg")
    want = sorted(p for p in tmp_path.rglob("*") if p.suffix.lower() in (".jpg", ".png", ".webp", ".jpeg"))
    assert names(tmp_path) == [str(p) for p in want]


def test_files_patterns_and_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg", "notes.txt", "odd[1].jpg")
    assert names(tmp_path / "?.jpg") == [str(tmp_path / "1.jpg"), str(tmp_path / "2.jpg")]
    assert names(tmp_path / "odd[1].jpg") == [str(tmp_path / "odd[1].jpg")], (
        "a file that looks like a pattern is a file"
    )
    assert names(tmp_path / "none.jpg") == [str(tmp_path / "none.jpg")], "it will be a row with its reason"
    with pytest.raises(DataError, match="No image matches"):
        names(tmp_path / "*.tiff")
    with pytest.raises(DataError, match="There are no images in"):
        names(tmp_path / "nothing", *[tmp_path / "empty"][: (tmp_path / "empty").mkdir() or 1])
    with pytest.raises(DataError, match="A PATH is empty"):
        names("")


def test_other_formats_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.heic", "b.avif", "c.nef")
    items = list(find_images([str(tmp_path), str(tmp_path / "a.heic")]))
    assert [i.source for i in items] == [None] * 4
    assert items[0].error == "HEIC is a format plusx does not read; convert it to JPEG or PNG"


def test_links_in_a_ring_end(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg")
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    found = names(tmp_path)
    assert found == [str(tmp_path / name) for name in ("gone.jpg", "in/a.jpg", "self.jpg")]


def test_a_folder_linked_twice_is_read_once_as_in_training(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.jpg")
    (tmp_path / "twin").symlink_to(tmp_path / "real")
    assert names(tmp_path) == [str(tmp_path / "real/a.jpg")]


def test_a_locked_folder_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "locked/b.jpg")
    scan = os.scandir

    def refuse(path: Path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    items = list(find_images([str(tmp_path)]))
    assert [i.error for i in items] == [None, "cannot be read (Permission denied)"]


def test_tar_shards(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.jpg", "x/2.png", "x/3.txt")
    packings = (("w", "a.tar"), ("w:gz", "a.tar.gz"), ("w:bz2", "a.tar.bz2"), ("w:xz", "a.tar.xz"))
    for mode, name in packings:
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(tmp_path / "x", "x")
            evil = tarfile.TarInfo("../../etc/evil.jpg")
            evil.size = 4
            archive.addfile(evil, io.BytesIO(b"evil"))
            link = tarfile.TarInfo("x/link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    for _, name in packings:
        items = list(find_images([str(tmp_path / name)]))
        assert sorted(Path(i.name).name for i in items) == ["1.jpg", "2.png", "evil.jpg"], (
            "read in place, links left out"
        )
        assert {i.source for i in items} == {b"x", b"evil"}
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "torn.tar").write_bytes(whole[:1500])
    (tmp_path / "text.tar").write_bytes(b"no archive")
    for name in ("torn.tar", "text.tar", "absent.tar"):
        *_, last = find_images([str(tmp_path / name)])
        assert last.error is not None and last.error.startswith("not a whole tar archive"), name


def test_packed_archives_are_streamed(tmp_path: Path) -> None:
    """The first image is there before the rest has been read, from a pipe too; a claim takes no memory."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for i in range(200):
            info = tarfile.TarInfo(f"{i}.jpg")
            info.size = 40_000
            archive.addfile(info, io.BytesIO(os.urandom(40_000)))
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "torn.tar.gz").write_bytes(whole[: len(whole) // 2])
    items = list(find_images([str(tmp_path / "torn.tar.gz")]))
    assert 80 < len(items) < 120 and items[-1].error is not None and items[-1].error.startswith("not a whole tar")
    assert all(isinstance(item.source, bytes) and len(item.source) == 40_000 for item in items[:-1])

    os.mkfifo(tmp_path / "pipe.tar")
    more = threading.Event()

    def write() -> None:
        with (tmp_path / "pipe.tar").open("wb") as pipe:
            pipe.write(whole[: len(whole) // 2])
            pipe.flush()
            assert more.wait(30)
            pipe.write(whole[len(whole) // 2 :])

    writer = threading.Thread(target=write)
    writer.start()
    walk = find_images([str(tmp_path / "pipe.tar")])
    assert next(walk).name.endswith("pipe.tar/0.jpg")
    more.set()
    assert len(list(walk)) == 199
    writer.join()


def test_a_claim_in_a_packed_header_takes_no_memory(tmp_path: Path) -> None:
    huge = tarfile.TarInfo("a.jpg")
    huge.size = (1 << 29) - 1
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1 << 32
    for info in (huge, name):
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(1 << 20)))
        tracemalloc.start()
        (item,) = find_images([str(tmp_path / "a.tar.gz")])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert item.error is not None and peak < 16 << 20


def test_a_list_on_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = b"a.jpg\r\n\nb c.jpg\n\xff\xfe.jpg\nlast.jpg"
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": io.BytesIO(lines)}))
    assert names("-") == ["a.jpg", "b c.jpg", os.fsdecode(b"\xff\xfe.jpg"), "last.jpg"]


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    plain = pyarrow.table({"label": [1, 2], "image": [b"one", None]})
    nested = pyarrow.table({"image": [{"bytes": b"one", "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}]})
    for table in (plain, nested):
        pyarrow.parquet.write_table(table, tmp_path / "p.parquet")
        items = list(find_images([str(tmp_path / "p.parquet")]))
        assert [(i.name.rpartition("/")[2], i.source) for i in items] == [("0", b"one"), ("1", b"")]
    pyarrow.parquet.write_table(pyarrow.table({"label": [1]}), tmp_path / "p.parquet")
    (item,) = find_images([str(tmp_path / "p.parquet")])
    assert item.error is not None and "no column of images" in item.error and "(columns: label int64)" in item.error
    (tmp_path / "p.parquet").write_bytes(b"PAR1 nonsense")
    assert [i.error is None for i in find_images([str(tmp_path / "p.parquet")])] == [False]


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pyarrow .*pip install 'plusx\[parquet\]'"):
        list(find_images([str(tmp_path / "p.parquet")]))


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i:03d}/{i}.jpg" for i in range(50)))
    walk = find_images([str(tmp_path)])
    first = next(walk)
    (tmp_path / "049" / "49.jpg").unlink()
    assert [first.name, *(i.name for i in walk)][-1].endswith("48.jpg")


def test_what_can_be_counted() -> None:
    assert is_countable(["a", "b/*.jpg"])
    assert not any(is_countable([text]) for text in ("-", "a.tar", "B.TGZ", "c.parquet"))
