"""Tar shards with WebDataset's names: what tarfile wrote is found, nothing is unpacked, nothing hostile gets through."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import shutil
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from making import pixels, png, samples, tar

from plusx.data import open_data, open_eval
from plusx.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def same_pixels(data) -> None:
    for i, name in enumerate(data.names):
        seed = int(Path(name).stem)
        assert np.array_equal(data.read(i), pixels(seed)), name
        assert data.classes[data.labels[i]].removeprefix("kind ") == str(seed % 2)


@pytest.mark.parametrize("kind", ["cls", "json", "txt"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_one_shard(tmp_path, kind, form):
    path = tar(tmp_path / "a.tar", samples(20, kind=kind), form)
    splits = open_data(path)
    assert (len(splits.train), len(splits.val)) == (16, 4) and splits.train.kind == "tar" and splits.skipped == ()
    assert splits.train.names[0].startswith("a.tar/s/") and splits.size_px == 10
    same_pixels(splits.train)
    same_pixels(splits.val)


def test_shards_by_folder_pattern_and_part(tmp_path):
    for i in range(2):
        tar(tmp_path / f"set-train-{i:06d}.tar", samples(6, first=6 * i))
    tar(tmp_path / "set-val-000000.tar", samples(4, first=100))
    splits = open_data(tmp_path)
    assert (len(splits.train), len(splits.val)) == (12, 4)
    same_pixels(splits.train)
    same_pixels(splits.val)
    only = open_data(tmp_path / "set-train-*.tar")
    assert (len(only.train), len(only.val)) == (10, 2)
    assert len(open_eval(tmp_path, ("0", "1"))) == 4
    assert len(open_eval(tmp_path / "set-train-000000.tar", ("0", "1"))) == 6
    (tmp_path / "train").mkdir()
    tar(tmp_path / "train" / "more.tar", samples(2, first=50))
    assert len(open_data(tmp_path).train) == 14
    tar(tmp_path / "rest.tar", samples(2, first=60))
    with pytest.raises(DataError, match=r"rest\.tar .*belongs to no part"):
        open_data(tmp_path)


def test_test_counts_where_there_is_no_val(tmp_path):
    for name, first in [("train", 0), ("test", 50)]:
        tar(tmp_path / f"{name}.tar", samples(6, first=first))
    assert len(open_data(tmp_path).val) == 6
    tar(tmp_path / "val.tar", samples(2, first=90))
    assert len(open_data(tmp_path).val) == 2
    (tmp_path / "train.tar").unlink()
    with pytest.raises(DataError, match="no train"):
        open_data(tmp_path)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_dots(tmp_path, form):
    long = "d" * 90 + "/" + "e" * 80
    members = [
        (f"./{long}{i}.{end}", raw) for i in range(4) for end, raw in [("png", png(i)), ("cls", b"%d" % (i % 2))]
    ]
    splits = open_data(tar(tmp_path / "a.tar", members, form), val_split=0.5)
    assert {*splits.train.names, *splits.val.names} == {f"a.tar/{long}{i}.png" for i in range(4)}


def test_the_index_is_kept_by_path_size_and_time(tmp_path, monkeypatch):
    path = tar(tmp_path / "a.tar", samples(8))
    first = open_data(path)
    monkeypatch.setattr("plusx.data.shards.probe", lambda raw: pytest.fail("looked again"))
    again = open_data(path)
    assert again.train.fingerprint == first.train.fingerprint and again.train.names == first.train.names
    monkeypatch.undo()
    tar(path, samples(10))
    assert len(open_data(path, cache=False).train) + 2 == 10


def test_a_damaged_cache_costs_time_only(tmp_path):
    path = tar(tmp_path / "a.tar", samples(8))
    mark = open_data(path).train.fingerprint
    kept = list(Path(os.environ["PLUSX_CACHE"]).glob("tar/*"))
    assert len(kept) == 1
    for raw in (b"", b"{}", b"[1]", kept[0].read_bytes()[:-20], b'{"rules": 1'):
        kept[0].write_bytes(raw)
        assert open_data(path).train.fingerprint == mark


def test_a_shard_that_goes_away_or_changes_is_named(tmp_path):
    path = tar(tmp_path / "a.tar", samples(8))
    train = open_data(path).train
    train = pickle.loads(pickle.dumps(train))
    shutil.copy(path, tmp_path / "b.tar")
    tar(path, samples(9))
    with pytest.raises(DataError, match=r"a\.tar/s/0000\d\.png cannot be used: .*has changed since"):
        train.read(0)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.tar/s/0000\d\.png cannot be used: .*cannot be read"):
        train.read(0)


def test_odd_samples_are_left_out_by_name(tmp_path):
    members = [
        *samples(6),
        ("x/alone.png", png(50)),
        ("x/label.cls", b"1"),
        ("x/word.png", png(51)), ("x/word.cls", b"one"),
        ("x/wide.png", png(52)), ("x/wide.json", b'{"label": {"a": 1}}'),
        ("x/deep.png", png(53)), ("x/deep.json", b"[" * 60_000),
        ("x/bad.png", b"\x89PNG nonsense"), ("x/bad.cls", b"1"),
        ("x/big.png", png(54)), ("x/big.txt", b"a" * 70_000),
        ("x/lines.png", png(55)), ("x/lines.txt", b"a\nb"),
        ("README", b"hello"),
    ]  # fmt: skip
    splits = open_data(tar(tmp_path / "a.tar", members))
    rows = {row.path.removeprefix(f"{tmp_path}/a.tar/"): row.reason for row in splits.skipped}
    assert len(splits.train) + len(splits.val) == 6
    assert sorted(rows) == sorted(
        f"x/{name}"
        for name in ("alone.png", "label", "word.png", "wide.png", "deep.png", "bad.png", "big.png", "lines.png")
    )
    assert all("\n" not in reason for reason in rows.values())
    with pytest.raises(DataError, match="cannot be evaluated"):
        open_eval(tmp_path / "a.tar", ("0", "1"))
    assert len(open_eval(tmp_path / "a.tar", ("0", "1"), skip_bad=True)) == 6


def test_names_links_and_devices_that_lead_elsewhere(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(99))
    path = tmp_path / "in" / "a.tar"
    tar(path, [*samples(6), ("../up.png", png(60)), ("../up.cls", b"1"), ("/abs.png", png(61)), ("a\nb.png", png(62))])
    with tarfile.open(path, "a") as archive:
        for name, kind in [
            ("l.png", tarfile.SYMTYPE),
            ("h.png", tarfile.LNKTYPE),
            ("c.png", tarfile.CHRTYPE),
            ("f.png", tarfile.FIFOTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            archive.addfile(info)
            label = tarfile.TarInfo(name.replace("png", "cls"))
            label.size = 1
            archive.addfile(label, io.BytesIO(b"1"))
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    splits = open_data(path)
    assert len(splits.train) + len(splits.val) == 6
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before
    rows = {row.path.removeprefix(f"{path}/"): row.reason for row in splits.skipped}
    assert {"../up.png", "/abs.png", "a?b.png"} <= set(rows) and "leads out" in rows["../up.png"]
    assert all(rows[name] == "it is a label without an image" for name in "lhcf")


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    head = bytearray(512)
    head[: len(name)] = name
    head[124 : 124 + len(size)] = size
    head[156:157] = kind
    head[257:265] = b"ustar\x0000"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


HOSTILE = {
    "a size of exabytes": header(b"a.png", b"\x80" + b"\0" * 3 + b"\x7f" * 8),
    "a negative size": header(b"a.png", b"\xff" * 12),
    "a size that is no number": header(b"a.png", b"hello world"),
    "a size beyond the end": header(b"a.png", b"00000200000\0") + bytes(512),
    "a name of gigabytes": header(b"././@LongLink", b"17777777777\0", b"L"),
    "pax of gigabytes": header(b"pax", b"17777777777\0", b"x"),
    "a pax size of exabytes": header(b"pax", b"%011o\0" % 30, b"x") + b"30 size=999999999999999999999\n".ljust(512, b"\0") + header(b"a.png", b"0"),
    "a cut header": header(b"a.png", b"0") + b"\1" * 512,
    "no checksum": bytes(148) + b"000000\0 " + bytes(100) + b"ustar" + bytes(251),
    "text": b"hello " * 200,
    "empty": b"",
    "only zeros": bytes(10240),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("after", [False, True])
def test_hostile_headers_are_one_line_and_bounded(tmp_path, name, after):
    good = tar(tmp_path / "good.tar", samples(4)).read_bytes()[: 512 * 16]
    (tmp_path / "a.tar").write_bytes((good if after else b"") + HOSTILE[name])
    tracemalloc.start()
    if after and name == "only zeros":
        assert len(open_data(tmp_path / "a.tar", val_split=0.5).train) == 2
    else:
        with pytest.raises(DataError, match=r"a\.tar") as caught:
            open_data(tmp_path / "a.tar")
        assert "\n" not in str(caught.value)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_shard_cut_anywhere_is_said(tmp_path):
    """At a header's edge too, where nothing but the missing end mark tells."""
    raw = tar(tmp_path / "a.tar", samples(6)).read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        last = archive.getmembers()[-1]
    whole = last.offset_data + 512 + 512  # its one block, and a block of zeros
    for at in (*range(512, whole, 512), *range(600, whole, 777)):
        (tmp_path / "a.tar").write_bytes(raw[:at])
        with pytest.raises(DataError, match=r"a\.tar cannot be read as a tar file: it is cut short"):
            open_data(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(raw[:whole])
    assert len(open_eval(tmp_path / "a.tar", ("0", "1"))) == 6


def test_packed_shards_one_class_and_other_classes_in_val(tmp_path):
    packed = tmp_path / "a.tar"
    packed.write_bytes(gzip.compress(tar(tmp_path / "plain.tar", samples(4)).read_bytes()))
    with pytest.raises(DataError, match=r"is compressed.*Decompress it first"):
        open_data(packed)
    packed.unlink()
    tar(tmp_path / "plain.tar", samples(4, classes=1))
    with pytest.raises(DataError, match=r"one class \(0\)"):
        open_data(tmp_path)
    (tmp_path / "plain.tar").unlink()
    tar(tmp_path / "train.tar", samples(4))
    tar(tmp_path / "val.tar", samples(6, classes=3))
    with pytest.raises(DataError, match="only in val: 2"):
        open_data(tmp_path)
    tar(tmp_path / "val.tar", [("a.cls", b"1")])
    with pytest.raises(DataError, match="has no images"):
        open_data(tmp_path)
    with pytest.raises(DataError, match="Nothing matches"):
        open_data(tmp_path / "no*.tar")


def test_an_archive_beside_class_folders_changes_nothing(tmp_path):
    for name in ("ant", "bee"):
        for i in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{i}.png").write_bytes(png(i))
    tar(tmp_path / "backup.tar", samples(4))
    assert open_data(tmp_path).train.kind == "folder"
    shutil.rmtree(tmp_path / "bee")
    assert open_data(tmp_path).train.kind == "tar"
