"""plusx predict --shard, plusx embed --shard and plusx merge: the parts are the whole, or merge says why not."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from plusx.bundles import open_bundle, save_bundle
from plusx.cli.main import main

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")
ENGINE = ["--engine", "openvino", "--precision", "fp32"]


def command(name: str, *words: object) -> int:
    return main([name, *map(str, words), *ENGINE])


def merge(*words: object) -> int:
    return main(["merge", *map(str, words)])


@pytest.fixture
def folder(jpegs: list[Path], tmp_path: Path) -> Path:
    """Twelve photographs, and one file that is none."""
    target = tmp_path / "photos"
    shutil.copytree(jpegs[0].parent, target)
    (target / "junk.jpg").write_bytes(b"junk")
    return target


def predict_shards(
    source: Path, folder: Path, out: Path, of: int, *words: object, only: list[int] | None = None
) -> None:
    for i in only or range(1, of + 1):
        assert command("predict", source, folder, "-o", out, "--shard", f"{i}/{of}", *words) == 0


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_merged_parts_are_what_one_machine_writes(form: str, photos: Path, folder: Path, tmp_path: Path) -> None:
    """13 rows on 5 machines, in parts of 2; the parts in each format, merged into the same one."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    assert command("predict", photos, folder, "-o", tmp_path / f"whole.{form}") == 0
    predict_shards(photos, folder, tmp_path / "parts", 5, "--format", form, "--part-rows", 2)
    assert merge(tmp_path / "parts", "-o", tmp_path / f"merged.{form}") == 0
    if form == "parquet":
        import pyarrow.parquet

        tables = [pyarrow.parquet.read_table(tmp_path / f"{name}.parquet") for name in ("merged", "whole")]
        assert tables[0].equals(tables[1])
    else:
        assert (tmp_path / f"merged.{form}").read_bytes() == (tmp_path / f"whole.{form}").read_bytes()


def test_a_data_set_has_every_row_in_order(photos: Path, folder: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.dataset

    monkeypatch.setattr("plusx.cluster.merge.FILE_ROWS", 5)
    predict_shards(photos, folder, tmp_path / "parts", 2)
    assert merge(tmp_path / "parts", "-o", tmp_path / "set") == 0
    names = [path.name for path in sorted((tmp_path / "set").iterdir())]
    assert names == ["_SUCCESS", "rows-000000000000.parquet", "rows-000000000005.parquet", "rows-000000000010.parquet"]
    table = pyarrow.dataset.dataset(tmp_path / "set").to_table()
    assert table["path"].to_pylist() == sorted(str(path) for path in folder.iterdir())
    assert merge(tmp_path / "parts", "-o", tmp_path / "set") == 2, "what is there stays"


def test_a_file_for_each_shard(photos: Path, folder: Path, tmp_path: Path, monkeypatch) -> None:
    """The files joined by `cat` are the whole, too, because a shard's images follow each other."""
    monkeypatch.chdir(tmp_path)
    for i in (1, 2, 3):
        assert command("predict", photos, folder, "-o", f"part{i}.jsonl", "--shard", f"{i}/3") == 0
    assert command("predict", photos, folder, "-o", "whole.jsonl") == 0
    assert merge("part1.jsonl", "part3.jsonl", "part2.jsonl", "-o", "merged.jsonl") == 0
    assert b"".join(Path(f"part{i}.jsonl").read_bytes() for i in (1, 2, 3)) == Path("whole.jsonl").read_bytes()
    assert Path("merged.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


@pytest.mark.parametrize("form", ["npy", "parquet"])
def test_vectors(form: str, photos: Path, folder: Path, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    assert command("embed", photos, folder, "-o", tmp_path / f"whole.{form}") == 0
    for i in (1, 2):
        assert command("embed", photos, folder, "-o", tmp_path / f"part{i}.{form}", "--shard", f"{i}/2") == 0
    parts = [tmp_path / f"part{i}.{form}" for i in (1, 2)]
    assert merge(*parts, "-o", tmp_path / "merged.npy") == 0
    assert merge(*parts, "-o", tmp_path / f"again.{form}") == 0
    names = [row.split(",")[0] for row in (tmp_path / "merged.csv").read_text().splitlines()[1:]]
    vectors = np.load(tmp_path / "merged.npy")
    assert names == sorted(str(path) for path in folder.iterdir()) and len(vectors) == 13
    assert np.isnan(vectors[-1]).all() and np.isfinite(vectors[:-1]).all()
    if form == "npy":
        for one, other in (("merged.npy", "whole.npy"), ("merged.csv", "whole.csv"), ("again.npy", "whole.npy")):
            assert (tmp_path / one).read_bytes() == (tmp_path / other).read_bytes()


def test_a_finished_shard_is_left_alone(photos: Path, folder: Path, tmp_path: Path, capsys) -> None:
    predict_shards(photos, folder, tmp_path / "parts", 2, only=[1])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").rglob("*") if path.is_file()}
    capsys.readouterr()
    predict_shards(photos, folder, tmp_path / "parts", 2, only=[1])
    assert "has all rows of shard 1/2 already (6 rows)" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").rglob("*") if path.is_file()}


def test_more_shards_than_images(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    for i in (1, 2, 3):
        assert command("predict", photos, *jpegs[:2], "-o", tmp_path / "parts", "--shard", f"{i}/3") == 0
    assert merge(tmp_path / "parts", "-o", tmp_path / "all.csv") == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 3


def test_every_key_of_a_manifest_is_documented(photos: Path, folder: Path, tmp_path: Path) -> None:
    predict_shards(photos, folder, tmp_path / "parts", 1)
    (manifest,) = (tmp_path / "parts" / "_plusx").glob("*.json")
    found = json.loads(manifest.read_text())
    page = (Path(__file__).resolve().parents[2] / "docs/json.md").read_text(encoding="utf-8")
    section = page.split(f"## {found['schema']}")[1].split("\n## ")[0]
    assert [key for key in (*found, *found["job"]) if not re.search(rf"\b{key}\b", section)] == []


def test_what_is_missing_is_named_with_the_command_that_computes_it(
    photos: Path, folder: Path, tmp_path: Path, capsys
) -> None:
    parts = tmp_path / "parts"
    predict_shards(photos, folder, parts, 4, only=[1, 2, 4])
    assert merge(parts, "-o", tmp_path / "all.csv") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "3 of 13 images are without a row (numbers 6-8, counted from 0)" in said
    assert not (tmp_path / "all.csv").exists()
    words = shlex.split(said.partition("Run: plusx ")[2])
    assert words[-1] == "3/4"
    assert main(words) == 0, "the command is meant to be typed"
    assert merge(parts, "-o", tmp_path / "all.csv") == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 14


def test_a_list_on_stdin_and_archives(photos: Path, folder: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    files = sorted(folder.iterdir())
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for path in files:
            archive.add(path, path.name)
    table = pyarrow.table({"image": [path.read_bytes() for path in files]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=4)
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in files))
    found = []
    for source in (str(folder), str(tmp_path / "a.tar"), str(tmp_path / "a.parquet"), "-"):
        out = tmp_path / f"parts-{len(found)}"
        for i in (1, 2, 3):
            with (tmp_path / "list.txt").open() as listed:
                monkeypatch.setattr("sys.stdin", listed)
                assert command("predict", photos, source, "-o", out, "--shard", f"{i}/3", "--part-rows", 3) == 0
        assert merge(out, "-o", tmp_path / "all.jsonl") == 0
        rows = [json.loads(line) for line in (tmp_path / "all.jsonl").open()]
        found.append([(row["top"], row["error"]) for row in rows])
    assert found[0] == found[1] == found[2] == found[3]
    assert len(found[0]) == 13


# ---- parts that do not belong together, or are damaged ----


def refused(capsys, *words: object, code: int = 2) -> str:
    capsys.readouterr()
    assert main([*map(str, words)]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("plusx: "), err
    return err


def test_parts_of_other_jobs_are_refused(photos: Path, folder: Path, jpegs: list[Path], tmp_path: Path, capsys) -> None:
    """Before anything is computed where the folder is the same, else by merge."""
    predict_shards(photos, folder, tmp_path / "a", 2, only=[1])
    found = open_bundle(photos)
    weights = {key: value * 1.01 if key == "fc.weight" else value for key, value in found.weights().items()}
    other = save_bundle(tmp_path / "other", found.spec, found.classes, found.preprocessing, weights)
    more = tmp_path / "more"
    shutil.copytree(folder, more)
    shutil.copy(jpegs[0], more / "zz.jpg")
    renamed = tmp_path / "renamed"
    shutil.copytree(folder, renamed)
    cases = {
        "weights": ([other, folder], "the network (weights, classes or preprocessing) differs"),
        "list": ([photos, more], "the number of images differs: 14, 13"),
        "names": ([photos, renamed], "the list of images differs"),
        "top": ([photos, folder, "--top", 1], "--top differs: 1, 3"),
        "threshold": ([photos, folder, "--threshold", 0.5], "--threshold differs: 0.5, None"),
        "decode": ([photos, folder, "--exact-decode"], "--exact-decode differs: True, False"),
        "format": ([photos, folder, "--format", "csv"], "the format differs: csv, jsonl"),
    }
    for name, (words, says) in cases.items():
        err = refused(capsys, "predict", *words, "--shard", "2/2", "-o", tmp_path / "a", *ENGINE)
        assert says in err and "holds a part of another job" in err, name
        out = tmp_path / f"b-{name}"
        assert command("predict", *words, "--shard", "2/2", "-o", out) == 0
        err = refused(capsys, "merge", tmp_path / "a", out, "-o", tmp_path / "all.csv")
        assert "are of different jobs" in err, name
        assert not (tmp_path / "all.csv").exists()


def test_rows_that_are_there_twice(photos: Path, folder: Path, tmp_path: Path, capsys) -> None:
    predict_shards(photos, folder, tmp_path / "a", 2)
    predict_shards(photos, folder, tmp_path / "b", 3, only=[2])
    err = refused(capsys, "merge", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "all.csv", code=1)
    assert "Rows 4 to 5 are there twice" in err
    assert merge(tmp_path / "a", tmp_path / "a", "-o", tmp_path / "all.csv") == 0, "the same part named twice is one"
    err = refused(capsys, "predict", photos, folder, "-o", tmp_path / "a", "--shard", "2/3", *ENGINE)
    assert "holds rows 0 to 6 in one part, cut by another --shard or --part-rows" in err


def damages(parts: Path) -> dict[str, tuple[Path, bytes, str]]:
    """What is done to one file of the parts: which, its new content, and what merge says."""
    data, manifest = sorted(parts.glob("rows-*"))[1], sorted((parts / "_plusx").glob("*.json"))[1]
    raw, text = data.read_bytes(), manifest.read_bytes()
    number = raw.index(b"0.") + 3
    return {
        "cut": (data, raw[:-40], "was changed or cut short"),
        "one digit": (data, raw[:number] + bytes([raw[number] ^ 1]) + raw[number + 1 :], "was changed or cut short"),
        "empty": (data, b"", "was changed or cut short"),
        "manifest cut": (manifest, text[:-30], "is no manifest of a part"),
        "manifest changed": (manifest, text.replace(b'"unreadable": 0', b'"unreadable": 1'), "was changed after it was written"),
        "manifest of something else": (manifest, b'{"schema": "plusx.run/1"}', "instead of 'plusx.part/1'"),
        "manifest empty": (manifest, b"", "is no manifest of a part"),
    }  # fmt: skip


def test_damaged_parts_are_named_and_nothing_is_written(photos: Path, folder: Path, tmp_path: Path, capsys) -> None:
    whole = tmp_path / "whole"
    predict_shards(photos, folder, whole, 3)
    for name, (path, content, says) in damages(whole).items():
        before = path.read_bytes()
        assert content != before, name
        path.write_bytes(content)
        err = refused(capsys, "merge", whole, "-o", tmp_path / "all.csv")
        assert says in err and path.name in err, name
        assert not (tmp_path / "all.csv").exists() and not list(tmp_path.glob(".plusx-*")), name
        path.write_bytes(before)
    data = sorted(whole.glob("rows-*"))[1]
    data.rename(tmp_path / "away")
    assert "is missing, but" in refused(capsys, "merge", whole, "-o", tmp_path / "all.csv")
    assert "is missing, but" in refused(capsys, "merge", whole), "without -o all is read too"


def test_rows_of_other_names_are_seen_by_the_hash_of_the_list(
    photos: Path, folder: Path, tmp_path: Path, capsys
) -> None:
    """A part whose hashes are right, but whose rows are not those of the inputs: made with plusx's own functions."""
    from plusx.cluster.manifests import PartManifest, parse_manifest

    predict_shards(photos, folder, tmp_path / "parts", 3)
    data = sorted((tmp_path / "parts").glob("rows-*"))[1]
    manifest = sorted((tmp_path / "parts" / "_plusx").glob("*.json"))[1]
    found = parse_manifest(manifest.read_bytes(), "")
    lines = data.read_bytes().splitlines(keepends=True)
    raw = b"".join([lines[1], lines[0], *lines[2:]])
    data.write_bytes(raw)
    entry = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    made = PartManifest(found.job, found.start, found.stop, 0, {data.name: entry}, found.shard, found.typed)
    manifest.write_bytes(made.to_bytes())
    assert "The names of the rows are not those of the inputs" in refused(capsys, "merge", tmp_path / "parts")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shard", "0/3", "-o", "parts"], "--shard 0/3 is not I/N. Write two numbers like 3/8"),
        (["--shard", "4/3", "-o", "parts"], "Write two numbers"),
        (["--shard", "1/3"], "name a folder for the parts with -o DIR"),
        (["--shard", "1/3", "-o", "parts", "--resume"], "--resume is not for --shard and --ray"),
        (["--shard", "1/3", "-o", "parts", "--sort-into", "x"], "--sort-into is not for --shard and --ray"),
        (["--shard", "1/3", "-o", "parts", "--format", "table"], "--format table is not for parts"),
        (["--shard", "1/3", "-o", "a.jsonl", "--format", "csv"], "ends in .jsonl, but --format csv"),
        (["--shard", "1/3", "-o", "a.xls"], "ends in .xls, which parts are not written as"),
        (["--shard", "1/3", "-o", "a.csv", "--part-rows", "5"], "--part-rows is for parts in a folder"),
        (["--shard", "1/3", "-o", "none/parts"], "there is no folder none"),
        (["--shard", "1/3", "-o", "zz://bucket/parts"], "zz://bucket cannot be opened"),
    ],
)  # fmt: skip
def test_bad_words_are_one_line(
    words: list[str], says: str, photos: Path, jpegs: list[Path], tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refused(capsys, "predict", photos, jpegs[0], *words, *ENGINE)
    assert list(tmp_path.iterdir()) == []


def test_compressed_archives_and_empty_folders_are_refused(
    photos: Path, jpegs: list[Path], tmp_path: Path, capsys
) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(jpegs[0], "a.jpg")
    err = refused(capsys, "predict", photos, tmp_path / "a.tar.gz", "--shard", "1/2", "-o", tmp_path / "p", *ENGINE)
    assert "is compressed with gzip" in err and "Decompress it first" in err
    (tmp_path / "empty").mkdir()
    assert "There are no images" in refused(capsys, "predict", photos, tmp_path / "empty", "--shard", "1/2", "-o", tmp_path / "p", *ENGINE)  # fmt: skip
    assert not (tmp_path / "p").exists()
    assert "There are no complete parts" in refused(capsys, "merge", tmp_path / "empty")
    assert "has no manifest" in refused(capsys, "merge", jpegs[0])


def test_an_output_that_cannot_be_written(photos: Path, jpegs: list[Path], tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("x")
    err = refused(capsys, "predict", photos, jpegs[0], "--shard", "1/1", "-o", tmp_path / "file" / "parts", *ENGINE)
    assert "is not a folder" in err
    predict_shards(photos, jpegs[0], tmp_path / "parts", 1)
    assert "there is no folder" in refused(capsys, "merge", tmp_path / "parts", "-o", tmp_path / "none" / "a.csv")
    part = next((tmp_path / "parts").glob("rows-*"))
    assert "is an input" in refused(capsys, "merge", tmp_path / "parts", "-o", tmp_path / "parts")
    assert part.exists()


# ---- kills, and two processes at once ----

SLOW = """
import sys, time
from plusx.runtime import predicting as p
real = p.Predictor.stream
def slow(self, items):
    for row in real(self, items):
        time.sleep(0.15)
        yield row
p.Predictor.stream = slow
from plusx.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_kill_costs_one_part_and_two_processes_do_not_write_one_shard(
    photos: Path, folder: Path, tmp_path: Path, capsys
) -> None:
    """The first process is stopped by SIGKILL after some parts; nothing half-written has a name that merge or a reader would take."""
    parts = tmp_path / "parts"
    words = ["predict", photos, folder, "-o", parts, "--shard", "1/1", "--part-rows", 2, *ENGINE]
    child = subprocess.Popen([sys.executable, "-c", SLOW, *map(str, words)], stderr=subprocess.DEVNULL)
    try:
        while len(list((parts / "_plusx").glob("rows-*.json"))) < 2:
            assert child.poll() is None
            time.sleep(0.02)
        err = refused(capsys, *words, code=3)
        assert f"process {child.pid} on " in err and "is writing to" in err
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    complete = {path.name for path in parts.glob("rows-*")}
    assert len(complete) < 7 and all(path.stat().st_size for path in parts.glob("rows-*"))
    assert merge(parts, "-o", tmp_path / "all.csv") == 1
    assert main([*map(str, words)]) == 0
    assert complete <= {path.name for path in parts.glob("rows-*")}, "what was complete is kept"
    assert merge(parts, "-o", tmp_path / "all.csv") == 0
    assert command("predict", photos, folder, "-o", tmp_path / "whole.csv") == 0
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_what_killed_processes_left_is_removed_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    from plusx.cluster.stores import LocalStore

    store = LocalStore(tmp_path)
    (tmp_path / ".plusx-left" / "files").mkdir(parents=True)
    (tmp_path / ".plusx-left" / "lock").write_text("{}")
    os.utime(tmp_path / ".plusx-left", (1, 1))
    with store.scratch() as living:
        os.utime(living.parent, (1, 1))
        seen = []
        thread = threading.Thread(target=lambda: seen.append(enter(store)))
        thread.start()
        thread.join()
        assert living.exists() and seen == [True]
        assert not (tmp_path / ".plusx-left").exists()
    assert list(tmp_path.glob(".plusx-*")) == []


def enter(store) -> bool:
    with store.scratch() as folder:
        return folder.is_dir()
