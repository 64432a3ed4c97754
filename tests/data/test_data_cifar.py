"""CIFAR-10 and -100, binary and pickled; and pickles that want to do things, which here do nothing."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from making import cifar10, records

from plusx.data import open_data, open_eval
from plusx.data.unpickle import Inert, unpickle
from plusx.errors import DataError


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_python_version(tmp_path, protocol):
    images, labels = cifar10(tmp_path, protocol=protocol)
    splits = open_data(tmp_path)
    assert splits.train.kind == "cifar-10" and splits.size_px == 32 and splits.train.channels == 3
    assert (len(splits.train), len(splits.val)) == (100, 20)
    assert splits.train.classes[6] == "frog" and splits.train.classes[0] == "airplane"
    assert np.array_equal(splits.train.images, images[:100]) and np.array_equal(splits.val.images, images[100:])
    assert np.array_equal(splits.train.labels, labels[:100]) and np.array_equal(splits.val.labels, labels[100:])
    assert len(open_eval(tmp_path, splits.train.classes)) == 20


@pytest.mark.parametrize("classes", [10, 100])
def test_the_binary_version(tmp_path, classes):
    folder = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}[classes]
    images, labels = records(tmp_path / folder, classes, n=20 if classes == 10 else 120)
    splits = open_data(tmp_path)  # the folder above will do
    n = len(splits.train)
    assert splits.train.classes[3] == "name 3" and len(splits.train.classes) == classes
    assert np.array_equal(splits.train.images, images[:n]) and np.array_equal(splits.train.labels, labels[:n])
    assert np.array_equal(splits.val.images, images[n:]) and np.array_equal(splits.val.labels, labels[n:])


def test_cifar_100_python_takes_the_fine_labels(tmp_path):
    rows = np.zeros((6, 3072), np.uint8)
    for name, n in [("train", 6), ("test", 4)]:
        batch = {"data": rows[:n], "fine_labels": [99, 1, 2, 99, 1, 2][:n], "coarse_labels": [0] * n}
        (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
    (tmp_path / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"f{i}" for i in range(100)]}, protocol=2))
    train = open_data(tmp_path).train
    assert train.labels.tolist() == [99, 1, 2, 99, 1, 2] and train.classes[99] == "f99"


def python2(batch: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes that Python 2's cPickle wrote, as they stand in the published files: bytes as BINSTRING."""
    raw = batch.tobytes()
    ints = b"".join(b"K" + bytes([label]) for label in labels)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x08"
        b"(K\x01"
        + b"M"
        + struct.pack("<H", len(batch))
        + b"M\x00\x0c\x86cnumpy\ndtype\nq\x09U\x02u1K\x00K\x01\x87Rq\x0b"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    )
    return b"\x80\x02}q\x01(U\x06labelsq\x02](" + ints + b"eU\x04dataq\x03" + array + b"u."


def test_what_python_2_wrote(tmp_path):
    images, labels = cifar10(tmp_path)
    planes = images[:20].transpose(0, 3, 1, 2).reshape(20, 3072)
    raw = python2(np.ascontiguousarray(planes), labels[:20].tolist())
    assert np.array_equal(pickle.loads(raw, encoding="bytes")[b"data"], planes)
    (tmp_path / "data_batch_1").write_bytes(raw)
    train = open_data(tmp_path).train
    assert np.array_equal(train.images, images[:100]) and np.array_equal(train.labels, labels[:100])


class Bomb:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("place", ["labels", "data", "extra"])
def test_a_pickle_bomb_does_nothing(tmp_path, protocol, place):
    cifar10(tmp_path)
    mark = tmp_path / "was here"
    bomb = Bomb(os.system, f"touch '{mark}'")
    batch = {"labels": [0, 1], "data": np.zeros((2, 3072), np.uint8), place: bomb}
    raw = pickle.dumps(batch, protocol=protocol)
    (tmp_path / "data_batch_1").write_bytes(raw)
    if place == "extra":
        assert len(open_data(tmp_path).train) == 82  # carried along, never called
    else:
        with pytest.raises(DataError) as caught:
            open_data(tmp_path)
        assert "\n" not in str(caught.value)
    assert not mark.exists()
    pickle.loads(raw)
    assert mark.exists()


def test_unknown_names_become_records():
    found = unpickle(pickle.dumps({"a": Bomb(print, "x"), "b": Path("x"), "c": b"\xff\0"}, protocol=2), "x")
    assert isinstance(found["a"], Inert) and found["a"].name.endswith("print")
    assert isinstance(found["b"], Inert) and found["c"] == b"\xff\0"


HOSTILE = {
    "a memo of two billion": b"\x80\x02}r\xff\xff\xff\x7f.",
    "bytes that are not there": b"\x80\x04\x8e" + (1 << 50).to_bytes(8, "little") + b"x.",
    "text that is not there": b"\x80\x04\x8d" + (1 << 62).to_bytes(8, "little") + b"x.",
    "a negative length": b"\x80\x02T\xff\xff\xff\xff.",
    "deep lists": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "marks alone": b"\x80\x02" + b"(" * 50_000 + b".",
    "nothing on the stack": b"\x80\x02R.",
    "no end": b"\x80\x02}",
    "extension codes": b"\x80\x02\x82\x01.",
    "persistent ids": b"\x80\x02}Q.",
    "an array of objects": pickle.dumps({"data": np.array([{}, []], dtype=object), "labels": [0]}, protocol=2),
    "an array of a size not its own": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R(K\x01J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"
    b"cnumpy\ndtype\nU\x02u1\x85R\x89U\x01xtb.",
    "a key of keys": b"\x80\x02}" + b")" + b"\x85" * 40 + b"K\x01s.",
    "text": b"label,data\n1,2\n",
    "zeros": bytes(4096),
    "an integer of a million digits": b"\x80\x02}U\x06labelsI" + b"9" * 1_000_000 + b"\ns.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_one_line_and_bounded(tmp_path, name):
    cifar10(tmp_path, n=2)
    (tmp_path / "data_batch_3").write_bytes(HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(DataError, match="data_batch_3") as caught:
        open_data(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert peak < 64 << 20


def test_every_cut_and_many_flips_of_a_batch_are_refused_or_read(tmp_path):
    cifar10(tmp_path, n=1)
    raw = (tmp_path / "data_batch_1").read_bytes()
    heads = [op[2] for op in pickletools.genops(raw)]
    for at in heads[1:]:
        with pytest.raises(DataError):
            unpickle(raw[:at], "cut")
    rng = np.random.default_rng(0)
    for at in rng.choice([i for i in range(len(raw)) if i < 200 or i > len(raw) - 100], 150):
        changed = bytearray(raw)
        changed[at] ^= int(rng.integers(1, 256))
        try:
            unpickle(bytes(changed), "flipped")
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "data_batch_2.bin").unlink(), "lacks data_batch_2.bin"),
        (lambda root: (root / "data_batch_2.bin").write_bytes(b"x" * 3000), "not a multiple of 3073"),
        (lambda root: (root / "data_batch_2.bin").write_bytes(b""), "0 bytes"),
        (lambda root: (root / "data_batch_2.bin").write_bytes(bytes([10]) + bytes(3072)), "Label 10 .* out of range"),
        (lambda root: (root / "batches.meta.txt").write_text("a\nb\n"), "10 class names"),
        (lambda root: (root / "batches.meta.txt").write_text("a\n" * 10), "occurs twice"),
    ],
)
def test_damaged_binary_files(tmp_path, change, words):
    records(tmp_path, 10)
    change(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        open_data(tmp_path)
    assert "\n" not in str(caught.value)


def test_labels_out_of_range_and_of_other_kinds(tmp_path):
    cifar10(tmp_path)
    for labels, words in [
        ([0, 10], "out of range"),
        ([-1, 0], "unlabelled"),
        ([0, "1"], "whole"),
        ([0], "2 images and 1"),
    ]:
        batch = {"labels": labels, "data": np.zeros((2, 3072), np.uint8)}
        (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
        with pytest.raises(DataError, match=words):
            open_data(tmp_path)


def test_without_a_test_batch_a_share_is_held_out(tmp_path):
    cifar10(tmp_path)
    (tmp_path / "test_batch").unlink()
    splits = open_data(tmp_path, val_split=0.3)
    assert splits.val.counts().tolist() == [3] * 10 and len(splits.train) == 70
