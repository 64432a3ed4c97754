"""Inputs and outputs on s3://, against a real S3 server on this machine's loopback (moto's): whole results or none."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from plusx.cli.main import main
from processes import started
from waiting import HANG

pytest.importorskip("openvino")
pytest.importorskip("moto")
pytest.importorskip("flask_cors")
fs = pytest.importorskip("pyarrow.fs")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")
ENGINE = ["--engine", "openvino", "--precision", "fp32"]
KEYS = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("server") / "log"  # a pipe would fill, since each request is logged
    command = [sys.executable, "-m", "moto.server", "-p0"]
    with log.open("w") as out, started(command, stdout=out, stderr=subprocess.STDOUT) as process:
        end = time.monotonic() + HANG
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield found[0]


@pytest.fixture
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new bucket."""
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": server}.items():
        monkeypatch.setenv(key, value)
    name = re.sub("[^a-z0-9]", "", tmp_path.name.lower())[-20:] + f"{time.time_ns() % 10**9}"
    urllib.request.urlopen(urllib.request.Request(f"{server}/{name}", method="PUT"), timeout=HANG)
    return f"s3://{name}"


def upload(folder: Path, address: str) -> None:
    fs.copy_files(str(folder), address)


def objects(address: str) -> dict[str, int]:
    system, path = fs.FileSystem.from_uri(address)
    infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return {info.path.partition("/")[2]: info.size for info in infos if info.type == fs.FileType.File}


def command(name: str, *words: object) -> int:
    return main([name, *map(str, words), *ENGINE])


@pytest.fixture
def photos_there(bucket: str, jpegs: list[Path], tmp_path: Path) -> tuple[str, Path]:
    """Photographs in a bucket and in a folder here: as files, in a tar archive and in a Parquet file; one is none."""
    import pyarrow.parquet

    folder = tmp_path / "local"
    shutil.copytree(jpegs[0].parent, folder / "photos")
    (folder / "photos" / "junk.jpg").write_bytes(b"junk")
    (folder / "photos" / "notes.txt").write_text("no image")
    with tarfile.open(folder / "a.tar", "w") as archive:
        archive.add(folder / "photos", "in")
    raw = [path.read_bytes() for path in sorted((folder / "photos").glob("*.jpg"))]
    pyarrow.parquet.write_table(pyarrow.table({"image": raw}), folder / "a.parquet", row_group_size=5)
    upload(folder, f"{bucket}/data")
    return f"{bucket}/data", folder


def test_from_a_bucket_to_a_bucket(
    photos: Path, photos_there: tuple[str, Path], bucket: str, tmp_path: Path, capsys
) -> None:
    """Files, archive and Parquet, read and written there, merged here and there: the rows of the same files here."""
    there, folder = photos_there
    sources = ("photos", "a.tar", "a.parquet")
    assert command("predict", photos, *(folder / name for name in sources), "-o", tmp_path / "whole.jsonl") == 0
    for i in (1, 2, 3):
        words = [f"{there}/{name}" for name in sources]
        assert command("predict", photos, *words, "-o", f"{bucket}/out", "--shard", f"{i}/3", "--part-rows", 5) == 0
    assert main(["merge", f"{bucket}/out", "-o", str(tmp_path / "here.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "here.jsonl").open()]
    whole = [json.loads(line) for line in (tmp_path / "whole.jsonl").open()]
    assert [(row["error"], row["top"]) for row in rows] == [(row["error"], row["top"]) for row in whole]
    assert [row["path"] for row in rows] == [row["path"].replace(str(folder), there) for row in whole]
    assert len(rows) == 39 and sum(row["error"] is not None for row in rows) == 3
    assert main(["merge", f"{bucket}/out", "-o", f"{bucket}/all.csv"]) == 0
    assert main(["merge", f"{bucket}/out", "-o", f"{bucket}/set"]) == 0
    assert {"all.csv", "set/_SUCCESS", "set/rows-000000000000.parquet"} <= set(objects(bucket))
    assert main(["merge", f"{bucket}/out", "-o", f"{bucket}/set"]) == 2, "what is there stays"
    capsys.readouterr()
    assert command("predict", photos, *words, "-o", f"{bucket}/out", "--shard", "3/3", "--part-rows", 5) == 0
    assert "has all rows of shard 3/3 already" in capsys.readouterr().err


def test_a_folder_there_holds_archives_too(
    photos: Path, photos_there: tuple[str, Path], bucket: str, tmp_path: Path
) -> None:
    there, _folder = photos_there
    assert command("predict", photos, there, "-o", f"{bucket}/out", "--shard", "1/1") == 0
    assert main(["merge", f"{bucket}/out", "-o", str(tmp_path / "all.csv")]) == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 40


def test_a_list_of_addresses_and_what_is_not_there(
    photos: Path, photos_there: tuple[str, Path], bucket: str, tmp_path: Path, monkeypatch
) -> None:
    there, _folder = photos_there
    (tmp_path / "list").write_text(f"{there}/photos/000.jpg\n{there}/photos/none.jpg\n")
    with (tmp_path / "list").open() as listed:
        monkeypatch.setattr("sys.stdin", listed)
        assert command("predict", photos, "-", "-o", tmp_path / "p.jsonl", "--shard", "1/1") == 0
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").open()]
    assert rows[0]["error"] is None and "it cannot be read" in rows[1]["error"] and "\n" not in rows[1]["error"]


def test_addresses_that_cannot_be_used(
    photos: Path, jpegs: list[Path], bucket: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("plusx.cluster.addresses.TRIES", 1)
    cases = [
        (
            ["predict", photos, f"{bucket}/none", "-o", tmp_path / "p", "--shard", "1/1", *ENGINE],
            2,
            "There is nothing at",
        ),
        (
            ["predict", photos, "s3://nobucket/x", "-o", tmp_path / "p", "--shard", "1/1", *ENGINE],
            2,
            "There is nothing at",
        ),
        (["predict", photos, jpegs[0], "-o", "s3://nobucket/x", "--shard", "1/1", *ENGINE], 3, "could not be reached"),
        (["merge", f"{bucket}/none"], 2, "There are no complete parts"),
    ]
    for words, code, says in cases:
        capsys.readouterr()
        assert main([*map(str, words)]) == code, words
        err = capsys.readouterr().err
        assert says in err and err.count("\n") == 1, err


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt"])
def test_a_stopped_writer_leaves_nothing_that_is_seen(end: str, photos: Path, jpegs: list[Path], bucket: str) -> None:
    """Stopped in the middle of an upload: there is no object of that name, and the same command writes it."""
    code = f"""
import os, signal, shutil, sys
from plusx.cluster import stores
def half(source, target, length=0):
    target.write(source.read(10))
    {end}
stores.shutil = type("S", (), {{"copyfileobj": staticmethod(half), "rmtree": shutil.rmtree}})
from plusx.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    words = ["predict", photos, jpegs[0].parent, "-o", f"{bucket}/out", "--shard", "1/1", *ENGINE]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, timeout=HANG)
    assert done.returncode in (-signal.SIGKILL, 130), done.stderr
    assert objects(f"{bucket}/out") == {}
    assert main([*map(str, words)]) == 0
    assert all(size > 100 for size in objects(f"{bucket}/out").values()) and len(objects(f"{bucket}/out")) == 2


@pytest.mark.slow
def test_ray_reads_and_writes_there(photos: Path, photos_there: tuple[str, Path], bucket: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    there, _folder = photos_there
    words = [
        "predict",
        str(photos),
        there,
        "-o",
        f"{bucket}/out",
        "--part-rows",
        "5",
        "--ray",
        "--threads",
        "1",
        *ENGINE,
    ]
    done = subprocess.run([sys.executable, "-m", "plusx", *words], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert main(["merge", f"{bucket}/out", "-o", str(tmp_path / "ray.jsonl")]) == 0
    assert command("predict", photos, there, "-o", tmp_path / "one.jsonl", "--shard", "1/1") == 0
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert len((tmp_path / "one.jsonl").read_text().splitlines()) == 39
