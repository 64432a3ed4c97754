"""Every mistake in data that a user can make ends `plusx train` with one line and exit 2, and nothing is written."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from making import cifar10, image, png, records, samples, tar

from plusx.cli.main import main

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["ant", "bee", "cat"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.mktemp("cache")))


def folder(root: Path, classes: str = "ant bee", n: int = 4) -> None:
    for name in classes.split():
        for i in range(n):
            image(root / name / f"{i}.png", i)


def csv(path: Path, labels: str, header: str = "path,label\n") -> None:
    lines = []
    for i, label in enumerate(labels.split()):
        lines.append(f"{image(path.parent / 'p' / f'{i}.png', i).relative_to(path.parent)},{label}\n")
    path.write_text(header + "".join(lines))


def parquet(path: Path, labels: list[int], names: list[str] | None = NAMES) -> None:
    table = pa.table({"image": pa.array([png(i) for i in range(len(labels))], pa.binary()), "label": pa.array(labels, pa.int64())})  # fmt: skip
    if names is not None:
        about = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": about}})})
    pq.write_table(table, path)


def idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def mnist(root: Path, train: list[int], test: list[int]) -> None:
    for part, labels in (("train", train), ("t10k", test)):
        idx(root / f"{part}-images-idx3-ubyte.gz", np.zeros((len(labels), 8, 8)))
        idx(root / f"{part}-labels-idx1-ubyte.gz", np.array(labels, np.uint8))


def changed(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def two(make: Callable[[Path], None], other: Callable[[Path], None], ending: str) -> Callable[[Path], None]:
    """A maker of train.ENDING and val.ENDING in one folder."""

    def both(root: Path) -> None:
        make(root / f"train{ending}")
        other(root / f"val{ending}")

    return both


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    # class sets that differ
    "folders differ": (two(lambda p: folder(p, "ant bee"), lambda p: folder(p, "ant cat"), ""), "only in train: bee; only in val: cat"),
    "shards differ": (two(lambda p: tar(p, samples(6)), lambda p: tar(p, samples(6, classes=3)), ".tar"), "only in val: 2"),
    "parquet differs": (two(lambda p: parquet(p, [0, 1, 2]), lambda p: parquet(p, [0, 1, 2], ["ant", "bee", "dog"]), ".parquet"), "only in train: cat; only in val: dog"),
    "lists differ": (two(lambda p: csv(p, "ant bee ant"), lambda p: csv(p, "ant cat"), ".csv"), "only in train: bee; only in val: cat"),
    # one class
    "one folder": (lambda r: folder(r, "ant"), "one class (ant)"),
    "one class in shards": (lambda r: tar(r / "a.tar", samples(4, classes=1)), "one class (0)"),
    "one class in parquet": (lambda r: parquet(r / "a.parquet", [1, 1, 1]), "one class (bee)"),
    "one class in a list": (lambda r: csv(r / "train.csv", "ant ant"), "one class (ant)"),
    "one class in IDX": (lambda r: mnist(r, [0] * 4, [0] * 4), "one class (0)"),
    "one class in CIFAR": (lambda r: (records(r, 10, 2), [changed(r / f"data_batch_{i}.bin", lambda raw: b"\6" + raw[1:3073]) for i in range(1, 6)]), "one class (name 6)"),
    # empty parts
    "an empty folder": (lambda r: None, "no class folders"),
    "an empty val folder": (lambda r: (folder(r / "train"), (r / "val").mkdir()), "validation part of"),
    "val folders without images": (lambda r: (folder(r / "train"), (r / "val/ant").mkdir(parents=True), (r / "val/bee").mkdir()), "no images in"),
    "an empty val shard": (two(lambda p: tar(p, samples(6)), lambda p: tar(p, []), ".tar"), "has no images"),
    "an empty train shard": (two(lambda p: tar(p, []), lambda p: tar(p, samples(6)), ".tar"), "no readable image with a label"),
    "an empty val parquet": (two(lambda p: parquet(p, [0, 1, 2]), lambda p: parquet(p, []), ".parquet"), "has no images"),
    "an empty val list": (two(lambda p: csv(p, "ant bee ant"), lambda p: csv(p, ""), ".csv"), "has no images"),
    "an empty test file of IDX": (lambda r: mnist(r, [0, 1, 0, 1], []), "no side of 0"),
    "an empty test file of CIFAR": (lambda r: (records(r, 10, 4), (r / "test_batch.bin").write_bytes(b"")), "0 bytes"),
    "only val": (lambda r: folder(r / "val"), "no training part"),
    "only val.tar and test.tar": (lambda r: [tar(r / f"{n}.tar", samples(4)) for n in ("val", "test")], "no training part"),
    "an image a class": (lambda r: folder(r, n=1), "none can be held out"),
    # labels
    "a label beyond the names": (lambda r: parquet(r / "a.parquet", [0, 1, 3]), "Label 3 of"),
    "unlabelled rows": (lambda r: parquet(r / "a.parquet", [0, 1, -1]), "means unlabelled"),
    "a test label that train lacks": (lambda r: mnist(r, [0, 1, 0, 1], [0, 1, 2, 9]), "Label 9 of"),
    "a label of 10 in CIFAR-10": (lambda r: (records(r, 10, 4), changed(r / "data_batch_2.bin", lambda raw: b"\x0a" + raw[1:])), "0 to 9 are allowed"),
    "a label of 10 in CIFAR-10's pickle": (lambda r: (cifar10(r, 12), changed(r / "data_batch_2", lambda raw: raw.replace(b"K\x09", b"K\x0a"))), "0 to 9 are allowed"),
    # files that cannot be read
    "a damaged parquet": (lambda r: (parquet(r / "a.parquet", [0, 1, 2]), changed(r / "a.parquet", lambda raw: raw[:-20])), "a.parquet cannot be read as Parquet"),
    "a text named parquet": (lambda r: (r / "a.parquet").write_text("hello"), "is not a Parquet file"),
    "a shard cut short": (lambda r: (tar(r / "a.tar", samples(9)), changed(r / "a.tar", lambda raw: raw[:5000])), "cut short"),
    "a packed shard": (lambda r: (tar(r / "a.tar", samples(9)), changed(r / "a.tar", gzip.compress)), "Decompress it first"),
    "a text named tar": (lambda r: (r / "a.tar").write_text("hello"), "is not a tar file"),
    "a list without columns": (lambda r: (r / "train.csv").write_text("a,b,c\n1,2,3\n"), "Name them with --path-column NAME --label-column NAME"),
    "a list in UTF-16": (lambda r: (r / "train.csv").write_bytes("path,label\n".encode("utf-16")), "is not text in UTF-8"),
    "a list of what is not there": (lambda r: (r / "train.csv").write_text("path,label\nx.png,a\ny.png,b\n"), "x.png: it cannot be read (No such file or directory)"),
    "a lacking batch of CIFAR": (lambda r: (records(r, 10, 4), (r / "data_batch_3.bin").unlink()), "lacks data_batch_3.bin"),
    "a batch of CIFAR cut short": (lambda r: (records(r, 10, 4), changed(r / "data_batch_3.bin", lambda raw: raw[:-1])), "not a multiple of 3073"),
    "a pickle cut short": (lambda r: (cifar10(r), changed(r / "data_batch_3", lambda raw: raw[:-9])), "cannot be read as a pickle"),
    "IDX cut short": (lambda r: (mnist(r, [0, 1, 0, 1], [0, 1]), changed(r / "train-images-idx3-ubyte.gz", lambda raw: raw[:-9])), "Get the file again"),
    "all images of a class bad": (lambda r: (folder(r), [(r / f"bee/{i}.png").write_bytes(b"") for i in range(4)]), "No image in class folder 'bee'"),
    "formats mixed": (lambda r: (tar(r / "a.tar", samples(4)), parquet(r / "b.parquet", [0, 1])), "holds tar files and Parquet files"),
}  # fmt: skip


def one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("plusx: ") and err.count("\n") == 1 and "Traceback" not in err, err
    return err


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("command", ["check", "train"])
def test_one_line_and_nothing_written(tmp_path, name, command, capsys):
    pytest.importorskip("torch")
    make, line = CASES[name]
    root, out = tmp_path / "set", tmp_path / "run"
    root.mkdir()
    make(root)
    words = {
        "check": ["data", "check", str(root)],
        "train": ["train", "resnet20 depths=1,1,1", "--data", str(root), "--out", str(out)],
    }
    err = one_line(words[command], capsys)
    assert line in err and len(err) < 700
    assert not out.exists()


@pytest.mark.parametrize(
    ("network", "line"),
    [
        ("resnet20 classes=7", "classes=7, but the data has 2. Leave it out or write classes=2."),
        ("resnet20 in_channels=1", "in_channels=1, but the data has 3. Leave it out or write in_channels=3."),
        ("resnet20 until=layer2", "leaves no classifier to train"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["folder", "tar"])
def test_a_spec_that_disagrees_with_the_data(tmp_path, network, line, form, capsys):
    pytest.importorskip("torch")
    folder(tmp_path / "set") if form == "folder" else tar(tmp_path / "set/a.tar", samples(8))
    assert line in one_line(["train", network, "--data", str(tmp_path / "set"), "--out", str(tmp_path / "run")], capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("no/such", "There is no data at no/such"),
        ("no*such", "Nothing matches no*such"),
        ("digit", "There is no data at digit. Give a folder, a file, a pattern or one of: digits, fashion-mnist"),
    ],
)
def test_a_name_that_leads_nowhere(tmp_path, monkeypatch, where, line, capsys):
    monkeypatch.chdir(tmp_path)
    assert line in one_line(["data", "check", where], capsys)
    assert line in one_line(["train", "resnet20", "--data", where], capsys)


def test_whole_data_of_each_maker_are_no_mistake(tmp_path):
    """The control: the makers above give data that pass, so a line is due to what a case changes."""
    makers: dict[str, Callable[[Path], object]] = {
        "folder": folder, "tar": lambda r: tar(r / "a.tar", samples(8)), "mnist": lambda r: mnist(r, [0, 1] * 4, [0, 1]),
        "parquet": lambda r: parquet(r / "a.parquet", [0, 1, 2] * 3), "csv": lambda r: csv(r / "train.csv", "ant bee ant bee"),
        "cifar bin": lambda r: records(r, 10, 4), "cifar py": lambda r: cifar10(r, 12),
    }  # fmt: skip
    for name, make in makers.items():
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        assert main(["data", "check", str(tmp_path / name), "-o", str(tmp_path / "table.txt")]) == 0, name


def test_names_that_are_no_text_are_shown_safely(tmp_path, capfdbinary):
    folder(tmp_path)
    for name in (b"caf\xe9.png", b"a\x1b[31m.png", b"two\nlines.png"):
        (Path(str(tmp_path).encode().decode()) / "ant" / name.decode("utf-8", "surrogateescape")).write_bytes(b"bad")
    assert main(["data", "check", str(tmp_path)]) == 0
    table = capfdbinary.readouterr().out
    assert b"\x1b" not in table and b"caf?.png: " in table and b"two?lines.png: " in table
    assert main(["data", "check", str(tmp_path), "--format", "json"]) == 0
    rows = json.load(io.BytesIO(capfdbinary.readouterr().out))["findings"]
    assert any(row["paths"][0].encode("utf-8", "surrogateescape").endswith(b"caf\xe9.png") for row in rows)
