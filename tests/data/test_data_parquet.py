"""Parquet with images as Hugging Face writes it: pyarrow wrote them, and what pyarrow reads is the oracle."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from making import pixels, png
from PIL import Image

from plusx.data import open_data, open_eval
from plusx.data.parquet import list_parquet
from plusx.errors import DataError, MissingExtra
from waiting import HANG

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["ant", "bee", "cat"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def hugging_face(
    path: Path, n: int = 12, first: int = 0, names: list[str] | None = NAMES, labels=None, **columns
) -> Path:
    """The layout of the Hub's image sets: struct{bytes, path}, int64 labels, ClassLabel names in the metadata."""
    labels = [i % 3 for i in range(n)] if labels is None else labels
    table = pa.table({
        "image": pa.array([{"bytes": png(first + i), "path": None} for i in range(n)], pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array(labels, pa.int64()),
        **columns,
    })  # fmt: skip
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=5)
    return path


def same_pixels(data, first: int = 0) -> None:
    for i, name in enumerate(data.names):
        row = int(name.rpartition("/")[2])
        assert np.array_equal(data.read(i), pixels(first + row)), name
        assert data.labels[i] == row % 3


def test_hugging_faces_layout(tmp_path):
    hugging_face(tmp_path / "data" / "train-00000-of-00001.parquet", 12)
    hugging_face(tmp_path / "data" / "validation-00000-of-00001.parquet", 6, first=50)
    hugging_face(tmp_path / "data" / "test-00000-of-00001.parquet", 3, labels=[-1, -1, -1])
    splits = open_data(tmp_path)
    assert splits.train.kind == "parquet" and splits.train.classes == ("ant", "bee", "cat") and splits.size_px == 10
    assert (len(splits.train), len(splits.val)) == (12, 6)
    same_pixels(splits.train)
    same_pixels(splits.val, 50)
    same_pixels(pickle.loads(pickle.dumps(splits.val)), 50)  # as into a worker


def test_several_shards_and_a_share_held_out(tmp_path):
    for i in range(2):
        hugging_face(tmp_path / f"{i:04d}.parquet", 9, first=100 * i)
    splits = open_data(tmp_path / "*.parquet", val_split=1 / 3)
    assert splits.val.counts().tolist() == [2, 2, 2] and splits.train.counts().tolist() == [4, 4, 4]
    for data in (splits.train, splits.val):
        for i, name in enumerate(data.names):
            shard, row = (int(part.split(".")[0]) for part in name.split("/"))
            assert np.array_equal(data.read(i), pixels(100 * shard + row))
    assert open_data(tmp_path).val.counts().sum() == 3
    assert len(open_eval(tmp_path / "0000.parquet", NAMES)) == 9


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary", "int8", "uint64"])
@pytest.mark.parametrize("binary", ["binary", "large_binary"])
def test_plain_columns_of_other_types(tmp_path, kind, binary):
    values = [f"kind {i % 2}" if "i" in kind and "int" not in kind else i % 2 for i in range(8)]
    array = (
        pa.array([str(v) for v in values]).dictionary_encode()
        if kind == "dictionary"
        else pa.array(values, getattr(pa, kind)())
    )
    table = pa.table(
        {
            "id": pa.array([f"row{i}" for i in range(8)]),
            "target": array,
            "jpg": pa.array([png(i) for i in range(8)], getattr(pa, binary)()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    splits = open_data(tmp_path / "a.parquet", val_split=0.25)
    words = ("0", "1") if "int" in kind else ("kind 0", "kind 1")
    assert splits.train.classes == words and splits.val.counts().tolist() == [1, 1]


def test_fine_labels_come_before_coarse_ones(tmp_path):
    coarse = pa.array([0] * 12, pa.int64())
    path = hugging_face(tmp_path / "a.parquet", coarse_label=coarse)
    table = pq.read_table(path)
    features = {
        "img": {"_type": "Image"},
        **{f"{k}_label": {"names": NAMES, "_type": "ClassLabel"} for k in ("coarse", "fine")},
    }
    table = table.select(["coarse_label", "label", "image"]).rename_columns(["coarse_label", "fine_label", "img"])
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path)
    assert open_data(path).train.counts().tolist() == [3, 3, 3]


def test_rows_that_cannot_be_used_are_named(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": png(i), "path": None} for i in range(6)]
    rows += [
        None,
        {"bytes": None, "path": "x.png"},
        {"bytes": b"", "path": None},
        {"bytes": b"nonsense", "path": None},
        rows[0],
    ]
    labels = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, None]
    pq.write_table(pa.table({"image": pa.array(rows, kind), "label": pa.array(labels)}), tmp_path / "a.parquet")
    splits = open_data(tmp_path / "a.parquet")
    found = {int(row.path.rpartition("/")[2]): row.reason for row in splits.skipped}
    assert len(splits.train) + len(splits.val) == 6 and sorted(found) == [6, 7, 8, 9, 10]
    assert (
        "only a path" in found[7]
        and found[8] == "the file is empty"
        and found[10] == "it has no label"
        and found[6] == "it has no image"
    )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1, 2], "label": [0, 1]}, "no column with the bytes of images"),
        ({"image": ["x.png", "y.png"], "label": [0, 1]}, "no column with the bytes of images"),
        ({"image": [b"a", b"b"], "label": [0.5, 1.5]}, "no column of labels"),
        ({"image": [b"a", b"b"], "label": [True, False]}, "no column of labels"),
        ({"image": [b"a", b"b"], "label": [[0], [1]]}, "no column of labels"),
        ({"image": [b"a", b"b"], "x": [1, 2], "y": [1, 2]}, "no column of labels"),
        ({"image": [b"a", b"b"], "label": [0, 1]}, "no readable image with a label"),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, "no readable image with a label"),
        ({f"c{i}": [i] for i in range(2000)}, "no column with the bytes of images"),
    ],
)
def test_wrong_types_are_one_line(tmp_path, columns, words):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=words) as caught:
        open_data(tmp_path / "a.parquet")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


@pytest.mark.parametrize(
    ("names", "labels", "words"),
    [
        (NAMES, [0, 1, 3], "Label 3 .*row 2 .*out of range: 0 to 2 are allowed"),
        (NAMES, [0, 1, -1], "Label -1 .*unlabelled"),
        (["a", "a", "b"], [0, 1, 2], "occurs twice"),
        (["a", 7, "b"], [0, 1, 2], "not a list of texts"),
        (NAMES, [1, 1, 1], r"one class \(bee\)"),
        (None, [4, 4, 4], r"one class \(4\)"),
    ],
)
def test_labels_that_cannot_be(tmp_path, names, labels, words):
    path = hugging_face(tmp_path / "a.parquet", 3, names=names, labels=labels)
    with pytest.raises(DataError, match=words) as caught:
        open_data(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "meta", [b"", b"{", b"[]", b"null", b'{"info": []}', b'{"info": {"features": 3}}', b"[" * 100_000]
)
def test_nonsense_in_the_metadata_is_as_none(tmp_path, meta):
    path = hugging_face(tmp_path / "a.parquet", names=None)
    pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": meta}), path)
    assert open_data(path).train.classes == ("0", "1", "2")


def test_train_and_val_of_other_classes(tmp_path):
    hugging_face(tmp_path / "train.parquet")
    hugging_face(tmp_path / "test.parquet", names=["ant", "bee", "dog"])
    with pytest.raises(DataError, match="only in train: cat; only in val: dog"):
        open_data(tmp_path)
    hugging_face(tmp_path / "test.parquet", names=["bee", "ant", "cat"])  # another order is the same classes
    val = open_data(tmp_path).val
    assert val.classes == ("ant", "bee", "cat") and val.labels.tolist()[:3] == [1, 0, 2]


def test_damaged_files_are_one_line(tmp_path):
    raw = hugging_face(tmp_path / "a.parquet").read_bytes()
    rng = np.random.default_rng(0)
    cases = [raw[:n] for n in (0, 3, 4, 100, len(raw) // 2, len(raw) - 1)]
    for at in rng.integers(4, len(raw), 60):
        changed = bytearray(raw)
        changed[at] ^= int(rng.integers(1, 256))
        cases.append(bytes(changed))
    refused = 0
    for i, case in enumerate(cases):
        path = tmp_path / f"{i}.parquet"
        path.write_bytes(case)
        try:
            open_data(path, cache=False)
        except DataError as error:
            refused += 1
            assert "\n" not in str(error) and f"{i}.parquet" in str(error)
    assert refused >= 6


def test_the_pack_is_made_once_and_left_whole(tmp_path, monkeypatch):
    path = hugging_face(tmp_path / "a.parquet")
    first = open_data(path)
    packs = sorted(Path(os.environ["PLUSX_CACHE"]).glob("parquet/*"))
    assert [p.suffix for p in packs] == [".json", ".pack"] or [p.suffix for p in packs] == [".pack", ".json"]
    monkeypatch.setattr("plusx.data.detection._LISTERS", {"parquet": lambda *_: pytest.fail("read again")})
    assert open_data(path).train.fingerprint == first.train.fingerprint
    monkeypatch.undo()


def test_a_swept_pack_is_made_again_and_one_that_goes_later_is_named(tmp_path):
    path = hugging_face(tmp_path / "a.parquet")
    open_data(path)
    (pack,) = list_pack()
    pack.unlink()
    train = open_data(path).train
    same_pixels(train)
    list_pack()[0].unlink()
    with pytest.raises(DataError, match=r"a\.parquet/\d+ cannot be used: .*cannot be read"):
        train.read(0)


def list_pack() -> list[Path]:
    return list(Path(os.environ["PLUSX_CACHE"]).glob("parquet/*.pack"))


def test_a_full_disk_leaves_no_half_pack(tmp_path, monkeypatch):
    path = hugging_face(tmp_path / "a.parquet")

    class Full(io.FileIO):
        def write(self, raw):
            raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: Full(self, "w") if ".pack." in self.name else real(self, *a, **k)
    )
    with pytest.raises(DataError, match=r"cannot be copied into .*No space left.*PLUSX_CACHE"):
        open_data(path)
    assert list(Path(os.environ["PLUSX_CACHE"]).rglob("*.pack*")) == []


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = hugging_face(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'plusx\[parquet\]'"):
        open_data(path)


def test_a_file_that_is_not_parquet(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"label,data\n")
    with pytest.raises(DataError, match="is not a Parquet file"):
        open_data(tmp_path / "a.parquet")
    hugging_face(tmp_path / "data.bin")  # the name may be any
    assert len(open_data(tmp_path / "data.bin").train) == 9


def test_row_groups_beyond_the_cap_are_refused(tmp_path, monkeypatch):
    path = hugging_face(tmp_path / "a.parquet")
    monkeypatch.setattr("plusx.data.parquet._MAX_GROUP", 100)
    with pytest.raises(DataError, match=r"Row group 0 .*at most 100 are read"):
        list_parquet(path, tmp_path)


def test_grey_images_give_one_channel(tmp_path):
    raws = []
    for i in range(4):
        out = io.BytesIO()
        Image.fromarray(pixels(i)[..., 0]).save(out, "PNG")
        raws.append(out.getvalue())
    pq.write_table(pa.table({"image": raws, "label": [0, 1, 0, 1]}), tmp_path / "a.parquet")
    train = open_data(tmp_path / "a.parquet").train
    assert train.channels == 1 and train.read(0).shape == (12, 10, 1)


@pytest.mark.slow
def test_a_small_file_that_says_a_large_image_often_takes_the_memory_of_one(tmp_path):
    """A dictionary page of 96 MB, named by 64 rows: 6 GB if they were unpacked together. In its own process, capped."""
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array([bytes(96 << 20)], pa.binary()))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": rows, "label": [0, 1] * 32}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 100_000
    code = (
        "import resource, sys, pathlib\n"
        "from plusx.data.parquet import encoded_images\n"
        "import pyarrow.parquet\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "print(sum(raw is not None for raw in encoded_images(pathlib.Path(sys.argv[1]))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=HANG)
    assert done.stdout == "64\n", done.stderr[-500:]


def test_texts_that_are_none_of_the_declared_names(tmp_path):
    path = hugging_face(tmp_path / "a.parquet")
    table = pq.read_table(path)
    words = pa.array(["ant", "bee", "gnu"] * 4)
    pq.write_table(table.set_column(1, "label", words).replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(DataError, match=r"Label 'gnu' .* row 2 is none of the declared classes \(ant, bee, cat\)"):
        open_data(path)
