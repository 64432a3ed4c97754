"""The records of a job's inputs: the same names as without shards, each readable by itself, and found by number in a list."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pytest

from plusx.cluster.input_list import STRIDE, NamesHash, write_list
from plusx.cluster.inputs import InputRecord, find_records, parse_record
from plusx.cluster.manifests import JobIdentity, PartManifest, parse_manifest
from plusx.cluster.reading import read_items
from plusx.cluster.shard import part_bounds, shard_of, shard_rows
from plusx.cluster.stores import LocalStore
from plusx.errors import PlusxError
from plusx.images import read_file
from plusx.runtime.inputs import find_images

NAMES = ["b.jpg", "a.PNG", "sub/c.webp", "caf\udce9.jpg", "猫.jpg", "new\nline.jpg", '"quoted".jpg']


def content(name: str) -> bytes:
    return f"bytes of {name!r}".encode()


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """A folder, a tar archive and a Parquet file with the same images; a file that is not there; a broken archive."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    folder = tmp_path / "photos"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in NAMES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content(name))
            about = tarfile.TarInfo(name)
            about.size = len(content(name))
            archive.addfile(about, io.BytesIO(content(name)))
        archive.addfile(tarfile.TarInfo("readme.txt"))
    (folder / "readme.txt").write_text("no image")
    table = pyarrow.table({"image": [content(name) for name in NAMES]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    (tmp_path / "cut.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:2300])
    (tmp_path / "no.parquet").write_bytes(b"PAR1 not")
    words = ("photos", "a.tar", "a.parquet", "cut.tar", "no.parquet")
    return [*(str(tmp_path / word) for word in words), str(tmp_path / "missing.jpg")]


def read(item) -> bytes | str:
    if isinstance(item.source, Path):
        try:
            return read_file(item.source)
        except PlusxError as error:
            return str(error)
    return str(item.error) if item.source is None else item.source


def test_records_are_the_items_of_the_command_without_shards(sources: list[str]) -> None:
    plain = [(item.name, read(item)) for item in find_images(sources)]
    records = list(find_records(sources))
    assert [(item.name, read(item)) for item in read_items(records)] == plain
    assert len(plain) == 3 * len(NAMES) + 3 + 1 + 1, (
        "the whole ones; two images and the fault of cut.tar; two more faults"
    )
    assert [parse_record(record.line()) for record in records] == records


def test_any_record_can_be_read_alone_and_in_any_order(sources: list[str]) -> None:
    records = list(find_records(sources))
    wanted = {item.name: read(item) for item in find_images(sources)}
    random.Random(0).shuffle(records)
    assert all(read(item) == wanted[item.name] for item in read_items(records))


def test_a_list_finds_rows_by_number(tmp_path: Path) -> None:
    records = [InputRecord(f"{i}-{'x' * (i % 300)}", f"{i}") for i in range(3 * STRIDE + 17)]
    made = write_list(records, tmp_path / "list", LocalStore(tmp_path), "list")
    assert made.n == len(records)
    for start, stop in (
        (0, 5),
        (STRIDE - 1, STRIDE + 1),
        (2 * STRIDE, 2 * STRIDE),
        (3 * STRIDE + 10, made.n),
        (0, made.n),
        (made.n, made.n),
    ):
        assert list(made.records(start, stop)) == records[start:stop]


def test_the_hash_of_names() -> None:
    """By hand: SHA-256 of 0001 'a' 0002 'bc', lengths in four bytes. No other cutting of the same letters has it."""
    import hashlib

    made = NamesHash()
    made.add("a")
    made.add("bc")
    assert made.hexdigest() == hashlib.sha256(b"\0\0\0\1a\0\0\0\2bc").hexdigest()
    other = NamesHash()
    other.add("ab")
    other.add("c")
    assert made.hexdigest() != other.hexdigest()


def test_shards_and_parts_are_each_row_once() -> None:
    for inputs in (0, 1, 5, 12, 100):
        for of in (1, 2, 3, 7, 150):
            rows = [
                row
                for i in range(1, of + 1)
                for a, b in part_bounds(*shard_rows(inputs, i, of), 4)
                for row in range(a, b)
            ]
            assert rows == list(range(inputs))
            for i in range(1, of + 1):
                assert all(shard_of(inputs, row, of) == i for row in range(*shard_rows(inputs, i, of)))


def test_every_byte_of_a_manifest_counts() -> None:
    job = JobIdentity("predict", "jsonl", 10, "a" * 64, "b" * 64, "openvino fp32", top=5)
    raw = PartManifest(
        job, 0, 10, 1, {"rows-0.jsonl": {"bytes": 5, "sha256": "c" * 64}}, (1, 1), ("predict", "caf\udce9")
    ).to_bytes()
    assert parse_manifest(raw, "m").typed == ("predict", "caf\udce9")
    for at in range(0, len(raw), 7):
        for changed in (raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :], raw[:at]):
            with pytest.raises(PlusxError):
                parse_manifest(changed, "m")
    for name in ("../x", "a/b", "", "..", "a\\b"):
        evil = PartManifest(job, 0, 10, 0, {name: {"bytes": 5, "sha256": "c" * 64}}).to_bytes()
        with pytest.raises(PlusxError):
            parse_manifest(evil, "m")


def test_the_hash_of_a_network_counts_what_computes() -> None:
    """An export's files where the export computes, and not where the weights do."""
    from plusx.bundles import Bundle
    from plusx.bundles.records import Provenance
    from plusx.cluster.manifests import network_hash
    from plusx.images import Preprocessing
    from plusx.runtime.engine import ExecutionPlan
    from plusx.specs import parse

    def made(weights: str, export: str, classes: tuple[str, ...] = ("a", "b"), size: int = 32) -> Bundle:
        files = {"weights.safetensors": {"sha256": weights}, "engines/openvino-int8/model.bin": {"sha256": export}}
        return Bundle(
            Path("b"), parse("resnet20 classes=2"), classes, Preprocessing("RGB", size, size), {}, Provenance(), files
        )

    int8, fp32 = ExecutionPlan("openvino", "int8", 1, 1, 1), ExecutionPlan("openvino", "fp32", 1, 1, 1)
    base = made("w", "e")
    assert (
        network_hash(base, fp32)
        == network_hash(made("w", "other"), fp32)
        == network_hash(base, ExecutionPlan("openvino", "fp32", 8, 2, 2))
    )
    assert network_hash(base, int8) != network_hash(made("w", "other"), int8)
    others = [made("v", "e"), made("w", "e", ("a", "c")), made("w", "e", size=24)]
    assert len({network_hash(each, fp32) for each in (base, *others)}) == 4
