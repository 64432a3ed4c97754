"""IDX files read exactly, and Fashion-MNIST from a folder, from Debian's package, from a loopback server."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from plusx.data import fashion, open_data, open_eval
from plusx.data.idx import parse_idx, read_idx
from plusx.errors import DataError


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim])
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def write(folder: Path, zipped: bool = True, joint: str = "-", n: int = 60, classes: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", n), ("t10k", n // 3)):
        labels = np.arange(count) % classes
        for what, array in (
            (f"images{joint}idx3", rng.integers(0, 256, (count, 6, 5))),
            (f"labels{joint}idx1", labels),
        ):
            raw = idx(array)
            path = folder / f"{part}-{what}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(raw, 1, mtime=0) if zipped else raw)
    return folder


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 5, 6), (2, 3, 4, 3), (0, 5)])
def test_round_trip(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(parse_idx(idx(array), "x"), array)


def test_anything_but_the_exact_length_is_refused():
    raw = idx(np.zeros((3, 4, 5)))
    for cut in range(len(raw)):
        with pytest.raises(DataError, match=r"^x "):
            parse_idx(raw[:cut], "x")
    for bad, words in [
        (raw + b"\0", "x has .* bytes, but an IDX file of"),
        (b"\x01" + raw[1:], "not an IDX file"),
        (raw[:2] + b"\x0d" + raw[3:], "type 0x0d"),
        (raw[:3] + b"\0" + raw[4:], "0 dimensions"),
        (raw[:3] + b"\xff" + raw[4:], "255 dimensions"),
        (raw[:4] + b"\xff" * 12 + raw[16:], "x has .* bytes, but an IDX file of"),
    ]:
        with pytest.raises(DataError, match=words):
            parse_idx(bad, "x")


def test_damaged_gzip_and_bombs(tmp_path, monkeypatch):
    path = tmp_path / "x.gz"
    packed = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (9, 9))))
    for raw in (packed[:-1], packed[:30], packed[:-8] + bytes(8), packed[:20] + b"\xff" * 9 + packed[29:]):
        path.write_bytes(raw)
        with pytest.raises(DataError, match=r"x\.gz"):
            read_idx(path)
    monkeypatch.setattr("plusx.data.idx._MAX_BYTES", 1000)
    path.write_bytes(gzip.compress(bytes(10**7)))
    with pytest.raises(DataError, match="more than 1000 bytes"):
        read_idx(path)


@pytest.mark.parametrize(("zipped", "joint"), [(True, "-"), (False, "-"), (False, ".")])
def test_a_folder_of_idx_files(tmp_path, zipped, joint):
    splits = open_data(write(tmp_path / "mnist", zipped, joint))
    assert splits.train.classes == ("0", "1", "2", "3") and splits.train.kind == "idx" and splits.size_px == 5
    assert splits.train.read(0).shape == (6, 5, 1) and (len(splits.train), len(splits.val)) == (60, 20)
    assert len(open_eval(tmp_path / "mnist", splits.train.classes)) == 20


def test_without_a_test_part_a_share_is_held_out(tmp_path):
    root = write(tmp_path)
    for path in root.glob("t10k*"):
        path.unlink()
    splits = open_data(root, val_split=0.2)
    assert splits.val.counts().tolist() == [3, 3, 3, 3] and len(splits.train) == 48


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("train-labels-idx1-ubyte.gz", np.arange(59) % 4, "60 images and 59 labels"),
        ("train-labels-idx1-ubyte.gz", np.zeros(60), "one class"),
        ("t10k-labels-idx1-ubyte.gz", np.full(20, 9), "Label 9 of t10k .* 0 to 3 are allowed"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((20, 7, 5)), "differ in size .6x5x1, 7x5x1"),
        ("train-images-idx3-ubyte.gz", np.zeros((0, 6, 5)), "no side of 0"),
        ("train-images-idx3-ubyte.gz", np.zeros(60), "have the shape"),
    ],
)
def test_parts_that_disagree(tmp_path, name, array, words):
    root = write(tmp_path)
    (root / name).write_bytes(gzip.compress(idx(array)))
    with pytest.raises(DataError, match=words):
        open_data(root)


def test_a_missing_file_is_named(tmp_path):
    root = write(tmp_path)
    (root / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="lacks train-labels-idx1-ubyte"):
        open_data(root)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A loopback server with small files, whose hashes stand in for the published ones."""
    folder = write(tmp_path / "served")
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "no such package")
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLUSX_OFFLINE", raising=False)
    asked: list[str] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in fashion.SHA256}
        monkeypatch.setattr(fashion, "SHA256", sums)
        yield folder, f"http://127.0.0.1:{serving.server_address[1]}/", asked
        serving.shutdown()


def test_download_once_then_from_the_cache(server, tmp_path, monkeypatch):
    _, url, asked = server
    assert len(open_data("fashion-mnist", base_url=url).train) == 60
    assert sorted(asked) == sorted(f"/{name}" for name in fashion.SHA256)
    monkeypatch.setenv("PLUSX_OFFLINE", "1")
    assert len(open_data("fashion-mnist", base_url="http://127.0.0.1:1/").val) == 20
    assert len(asked) == 4 and not list((tmp_path / "cache" / "fashion-mnist").glob(".*"))


def test_offline_wrong_bytes_and_no_server_are_one_line(server, tmp_path, monkeypatch):
    folder, url, asked = server
    with monkeypatch.context() as offline:
        offline.setenv("PLUSX_OFFLINE", "1")
        with pytest.raises(DataError, match="PLUSX_OFFLINE is set"):
            open_data("fashion-mnist", base_url=url)
    assert asked == []
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"other bytes")
    with pytest.raises(DataError, match="gave other bytes"):
        open_data("fashion-mnist", base_url=url)
    assert not (tmp_path / "cache" / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").exists()
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="cannot be downloaded"):
        open_data("fashion-mnist", base_url=url)
    with pytest.raises(DataError, match=r"cannot be downloaded .*dataset-fashion-mnist"):
        open_data("fashion-mnist", base_url="http://127.0.0.1:9/")


PUBLISHED_MD5 = {  # github.com/zalandoresearch/fashion-mnist, README, "Get the Data"
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
debian = pytest.mark.skipif(not fashion.is_idx_folder(fashion.DEBIAN), reason="needs Debian's dataset-fashion-mnist")


@debian
def test_debians_files_are_the_published_ones():
    """Debian took name and time out of the gzip headers; with them put back, MD5 and our SHA-256 both hold."""
    for name, md5 in PUBLISHED_MD5.items():
        raw = (fashion.DEBIAN / name).read_bytes()
        seconds = 1504176606 if name.startswith("train") else 1504176627
        head = b"\x1f\x8b\x08\x08" + struct.pack("<I", seconds) + raw[8:10]
        published = head + name.removesuffix(".gz").encode() + b"\0" + raw[10:]
        assert hashlib.md5(published, usedforsecurity=False).hexdigest() == md5
        assert hashlib.sha256(published).hexdigest() == fashion.SHA256[name]


@debian
def test_fashion_mnist_itself():
    splits = open_data("fashion-mnist")
    assert splits.train.kind == "fashion-mnist" and splits.size_px == 28
    assert splits.train.classes[9] == "Ankle boot" and splits.train.labels[0] == 9
    assert splits.train.counts().tolist() == [6000] * 10 and splits.val.counts().tolist() == [1000] * 10
    # the mean that everybody normalises Fashion-MNIST with
    assert splits.train.images is not None and abs(splits.train.images.mean() / 255 - 0.2860) < 5e-5
