"""Zip archives and safetensors headers that lie: bombs, overlaps, places outside the file, two of a name. Each is one line."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from weight_files import expect

from plusx.errors import WeightsError
from plusx.weights.containers import read

VALUES = {"a": torch.arange(24.0).reshape(2, 3, 4), "b": torch.tensor([1, 2, 3])}


def torch_zip() -> bytes:
    out = io.BytesIO()
    torch.save(VALUES, out)
    return out.getvalue()


def refused(path: Path, raw: bytes, words: str) -> None:
    path.write_bytes(raw)
    with pytest.raises(WeightsError, match=words) as caught:
        for tensor in read(path).tree.values():
            tensor.array()
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


# ---- zip ----


def bomb(size: int, copies: int = 1) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(copies):
            archive.writestr(f"archive/data/{i}", bytes(size))
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    return out.getvalue()


def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
    refused(tmp_path / "w.pth", bomb(64 << 20), "would unpack to 67108868")
    refused(tmp_path / "w.pth", bomb(1 << 20, 20), "would unpack")


def test_a_bomb_that_lies_about_its_size(tmp_path):
    """The directory says 100 bytes; a megabyte comes out. The unpacking stops at the first byte too many."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}" + b"0N" * 500_000 + b".")
    raw = bytearray(out.getvalue())
    place = raw.rindex(b"PK\x01\x02")
    raw[place + 24 : place + 28] = struct.pack("<I", 100)
    refused(tmp_path / "w.pth", bytes(raw), "does not unpack to its 100 bytes")


def directory(raw: bytes) -> list[int]:
    """Where the entries of a zip's directory begin."""
    places, at = [], raw.find(b"PK\x01\x02")
    while at >= 0:
        places.append(at)
        at = raw.find(b"PK\x01\x02", at + 4)
    return places


def changed(offset: int, format_: str, value: Callable[[int], int], entry: int = 0) -> bytes:
    """torch's zip with one number of its directory changed."""
    raw = bytearray(torch_zip())
    place = directory(bytes(raw))[entry] + offset
    (before,) = struct.unpack_from(format_, raw, place)
    struct.pack_into(format_, raw, place, value(before))
    return bytes(raw)


LIES = {
    "a place outside the file": (42, "<I", lambda old: 0x7FFFFFFF, "is not where"),
    "the place of another entry": (42, "<I", lambda old: old + 64, "is not where"),
    "a size outside the file": (20, "<I", lambda old: 0x7FFFFFFF, "two sizes"),
    "two sizes": (24, "<I", lambda old: old + 1, "two sizes"),
    "encrypted": (8, "<H", lambda old: old | 1, "encrypted"),
    "another method": (10, "<H", lambda old: 12, "method 12"),
    "a wrong checksum": (16, "<I", lambda old: old ^ 1, "checksum"),
    "a name that is longer": (28, "<H", lambda old: old + 1, "damaged zip"),
    "a note that is longer": (32, "<H", lambda old: 0xFFFF, "damaged zip"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("entry", [0, 3])
def test_directories_that_lie(tmp_path, name, entry):
    offset, format_, value, words = LIES[name]
    if name == "a wrong checksum" and entry == 3:
        entry = 4  # data/0; 3 is a small entry that nobody needs
    refused(tmp_path / "w.pth", changed(offset, format_, value, entry), words)


def by_hand(entries: list[tuple[bytes, int, int]], raw: bytes, count: int | None = None) -> bytes:
    """A zip whose directory has these (name, place of the local header, size) over given bytes."""
    out = bytearray(raw)
    begin = len(out)
    for name, place, size in entries:
        data = raw[place + 30 + len(name) : place + 30 + len(name) + size]
        out += struct.pack(
            "<4sHHHHHHIIIHHHHHII",
            b"PK\x01\x02",
            20,
            20,
            0,
            0,
            0,
            0,
            zlib.crc32(data),
            size,
            size,
            len(name),
            0,
            0,
            0,
            0,
            0,
            place,
        )
        out += name
    count = len(entries) if count is None else count
    out += struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(out) - begin, begin, 0)
    return bytes(out)


def local(name: bytes, data: bytes) -> bytes:
    return (
        struct.pack(
            "<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0
        )
        + name
        + data
    )


def test_the_hand_made_zip_is_read_and_its_variants_are_not(tmp_path):
    pickle = b"\x80\x02}."
    first = local(b"a/data.pkl", pickle)
    path = tmp_path / "w.pth"
    path.write_bytes(by_hand([(b"a/data.pkl", 0, 4)], first))
    assert read(path).tree == {}
    inner = local(b"a/data/0", b"12345678")
    nested = local(b"a/outer", inner + b"end")
    place = len(first) + 30 + len(b"a/outer")
    overlap = [(b"a/data.pkl", 0, 4), (b"a/outer", len(first), len(inner) + 3), (b"a/data/0", place, 8)]
    refused(path, by_hand(overlap, first + nested), "overlaps another")
    refused(path, by_hand([(b"a/data.pkl", 0, 4), (b"a/data.pkl", 0, 4)], first), "twice")
    refused(path, by_hand([(b"b/data.pkl", 0, 4)], first), "another name")
    refused(path, by_hand([(b"a/data.pkl", 0, 4)], first, count=2), "damaged zip")
    refused(path, by_hand([(b"a/data.pkl", 0, 4)], first, count=0), "damaged zip")
    refused(path, by_hand([(b"a/data.pkl", 0, 4000)], first), "outside the file")


def test_a_directory_of_too_many_entries(tmp_path):
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    raw = local(b"", b"") + entry * 60_000
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 60_000, 60_000, len(entry) * 60_000, len(local(b"", b"")), 0)
    refused(tmp_path / "w.pth", raw + end, "announces 60000 entries")


def test_a_zip64_end_that_points_nowhere(tmp_path):
    raw = bytearray(torch_zip())
    place = raw.rindex(b"PK\x06\x07")
    for value in (0, 5, len(raw), 1 << 62):
        struct.pack_into("<Q", raw, place + 8, value)
        refused(tmp_path / "w.pth", bytes(raw), "damaged zip")


def rebuilt(change: Callable[[bytes], bytes]) -> bytes:
    """torch's zip with another data.pkl."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_zip())) as source, zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            raw = source.read(name)
            archive.writestr(name, change(raw) if name.endswith("data.pkl") else raw)
    return out.getvalue()


SHAPE = b"K\x02K\x03K\x04\x87"
STRIDE = b"K\x0cK\x04K\x01\x87"
PICKLED = {
    "a longer side": (SHAPE, b"K\x02K\x03K\x05\x87", "outside its storage"),
    "a negative side": (SHAPE, b"K\x02K\x03J\xff\xff\xff\xff\x87", "are no sizes"),
    "a huge side": (SHAPE, b"K\x02K\x03\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x87", "are no sizes"),
    "a side of text": (SHAPE, b"K\x02K\x03X\x01\x00\x00\x00a\x87", "are no sizes"),
    "a side that is true": (SHAPE, b"K\x02K\x03\x88\x87", "are no sizes"),
    "a longer stride": (STRIDE, b"K\x0dK\x04K\x01\x87", "outside its storage"),
    "a negative stride": (STRIDE, b"K\x0cK\x04J\xff\xff\xff\xff\x87", "are no sizes"),
    "fewer strides": (STRIDE, b"K\x0cK\x04\x86", "are no sizes"),
    "stride 0 of a huge shape": (SHAPE, b"K\x02K\x03J\xff\xff\xff\x00\x87", None),
}


@pytest.mark.parametrize("name", PICKLED)
def test_tensors_that_lie(tmp_path, name):
    before, after, words = PICKLED[name]
    if words is None:  # all strides zero: inside the storage, and 400 MB of one number
        raw = rebuilt(lambda raw: replaced(replaced(raw, before, after), STRIDE, b"K\x00K\x00K\x00\x87"))
        words = "repeating stored values"
    else:
        raw = rebuilt(lambda raw: replaced(raw, before, after))
    refused(tmp_path / "w.pth", raw, words)


def replaced(raw: bytes, before: bytes, after: bytes) -> bytes:
    """torch's pickle memoises tuples: the marks between the numbers stand as they are."""
    assert raw.count(before) == 1
    return raw.replace(before, after)


def test_the_pickle_with_nothing_changed_is_read(tmp_path):
    (tmp_path / "w.pth").write_bytes(rebuilt(lambda raw: raw))
    expect(read(tmp_path / "w.pth").tree, VALUES)


def test_a_storage_that_is_missing_or_short(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_zip())) as source, zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            if not name.endswith("data/1"):
                archive.writestr(name, source.read(name))
    refused(tmp_path / "w.pth", out.getvalue(), "lacks its part data/1")
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_zip())) as source, zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name)[: 95 if name.endswith("data/0") else None])
    refused(tmp_path / "w.pth", out.getvalue(), "do not hold the numbers")


def test_many_names_of_one_storage_cannot_multiply_a_file(tmp_path):
    """Each a fresh view of the whole: eight times the file's size at most may come to be."""
    base = torch.zeros(1 << 18)
    torch.save({str(i): base.view(-1) for i in range(6)}, tmp_path / "few.pth")
    assert len(read(tmp_path / "few.pth").tree) == 6
    torch.save({str(i): base.view(-1) for i in range(100)}, tmp_path / "many.pth")
    with pytest.raises(WeightsError, match="repeating stored values"):
        read(tmp_path / "many.pth")


def test_other_zips_are_named_as_what_they_are(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("resnet50.pth", b"x" * 100)
    with pytest.raises(WeightsError, match=r"zip archive of 1 files \(resnet50.pth"):
        read(tmp_path / "w.pth")


# ---- safetensors ----


def safe(header: object, data: bytes = bytes(8), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


TWO = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
SAFE = {
    "a header longer than the file": (safe(one(), length=1 << 40), "header has"),
    "a huge header": (safe(b"{" + b" " * (9 << 20) + b"}", b""), "header of"),
    "no json": (safe(b"{'a': 1}"), "no JSON"),
    "a list": (safe(b"{}[]"), "no JSON"),
    "nested a million times": (safe(b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"), "no JSON"),
    "not utf-8": (safe(b'{"\xff": 1}'), "no JSON"),
    "a name twice": (safe(b'{"a": %s, "a": %s}' % ((json.dumps(one()["a"]).encode(),) * 2)), "twice"),
    "overlapping": (safe({"a": one()["a"], "b": TWO}), "overlaps"),
    "with a gap": (safe(one(data_offsets=[4, 12]), bytes(12)), "gap"),
    "bytes at the end": (safe(one(), bytes(12)), "belong to no tensor"),
    "outside the file": (safe(one(), bytes(4)), "outside the file"),
    "another size": (safe(one(shape=[3])), "not those of its shape"),
    "a negative side": (safe(one(shape=[-2])), "shape or place"),
    "two negative sides": (safe(one(shape=[-2, -1])), "shape or place"),
    "a huge side": (safe(one(shape=[2, 1 << 70])), "shape or place"),
    "a side that overflows": (safe(one(shape=[1 << 33, 1 << 33, 1 << 33])), "not those of its shape"),
    "a side that is no number": (safe(one(shape=["2"])), "shape or place"),
    "a side that is true": (safe(one(shape=[True, 2])), "shape or place"),
    "a fraction": (safe(one(shape=[2.0])), "shape or place"),
    "too many sides": (safe(one(shape=[1] * 40 + [2])), "shape or place"),
    "places turned": (safe(one(data_offsets=[8, 0])), "not those of its shape"),
    "a type that does not exist": (safe(one(dtype="F99")), "F99"),
    "a type that is no text": (safe(one(dtype=7)), "not described"),
    "no description": (safe({"a": None}), "not described"),
    "metadata that is no text": (safe({"__metadata__": {"a": 1}}, b""), "not text"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFE)
def test_safetensors_headers_that_lie(tmp_path, name):
    raw, words = SAFE[name]
    refused(tmp_path / "w.safetensors", raw, words)


def test_the_header_with_nothing_changed_is_read(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(safe(one(), struct.pack("<2f", 1.5, -2)))
    assert read(tmp_path / "w.safetensors").tree["a"].array().tolist() == [1.5, -2]


# ---- numpy ----


def npy(header: str, data: bytes = bytes(8)) -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


NPY = {
    "objects": ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "Python objects"),
    "records": ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "Python objects"),
    "code": ("{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os').getpid(), }", "damaged header"),
    "another size": ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "does not hold"),
    "a huge shape": ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 9), }", "does not hold"),
    "a negative side": ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", "damaged header"),
    "a type that does not exist": ("{'descr': '<f3', 'fortran_order': False, 'shape': (2,), }", "does not hold"),
}


@pytest.mark.parametrize("name", NPY)
def test_numpy_headers_that_lie(tmp_path, name):
    header, words = NPY[name]
    refused(tmp_path / "w.npy", npy(header), words)


def test_a_numpy_header_with_nothing_changed_is_read(tmp_path):
    np.save(tmp_path / "w.npy", np.float32([1, 2]))
    assert read(tmp_path / "w.npy").tree["w"].array().tolist() == [1, 2]
