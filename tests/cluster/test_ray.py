"""plusx predict --ray: what an actor does, without Ray; bad clusters; and whole jobs on a cluster of this machine (slow)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from plusx.bundles import open_bundle
from plusx.cli.main import main
from plusx.cluster import ray_cluster, with_ray
from plusx.cluster.inputs import find_records
from plusx.cluster.parts import BatchOptions
from plusx.cluster.places import PartsPlace
from plusx.cluster.stores import LocalStore
from plusx.errors import MissingExtra, RunError, SpecError
from plusx.runtime.engines import EngineOptions
from waiting import HANG

pytest.importorskip("openvino")
pytest_plugins = ["shipped"]
pytestmark = pytest.mark.usefixtures("own_cache")
ENGINE = ["--engine", "openvino", "--precision", "fp32"]
ROOT = Path(__file__).resolve().parents[2]


def command(name: str, *words: object) -> int:
    return main([name, *map(str, words), *ENGINE])


def test_an_actor_computes_parts_once(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    """The class that Ray runs, called here: its parts merge to what one process writes, and are not computed again."""
    store = LocalStore(tmp_path / "parts")
    options = BatchOptions("predict", EngineOptions("openvino", "fp32", threads=1))
    bundle = open_bundle(photos)
    inputs = with_ray._stored_list(store, find_records([str(jpegs[0].parent)]))
    job = options.identity(bundle, "jsonl", inputs.n, inputs.sha256)
    network = with_ray._stored_network(store, bundle, job)
    worker = with_ray.PartWorker(
        with_ray.WorkerJob(job, options, store.address, inputs.name, network), with_ray.__version__
    )
    bounds = [(0, 5), (5, 10), (10, 12)]
    rows = [dict(zip(with_ray._COLUMNS, (*bound, *inputs.where(bound[0])), strict=True)) for bound in bounds]
    batch = {name: np.array([row[name] for row in rows]) for name in with_ray._COLUMNS}
    assert worker(batch) == {"rows": [5, 5, 2], "unreadable": [0, 0, 0], "error": ["", "", ""]}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").rglob("rows-*")}
    assert worker(batch)["rows"] == [5, 5, 2] and len(before) == 6
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").rglob("rows-*")}
    assert main(["merge", str(tmp_path / "parts"), "-o", str(tmp_path / "all.csv")]) == 0
    assert command("predict", photos, jpegs[0].parent, "-o", tmp_path / "whole.csv") == 0
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    others = (
        with_ray.PartWorker(worker.job, "0.0.1"),
        with_ray.PartWorker(replace(worker.job, network="none"), with_ray.__version__),
    )
    for other, says in zip(others, ("Install the same plusx on every node", "No such file"), strict=True):
        found = other(batch)
        assert found["rows"] == [0, 0, 0] and all(says in text and "\n" not in text for text in found["error"])
    worker.job = replace(worker.job, inputs="none", identity=replace(job, top=1))
    assert "No such file" in worker(batch)["error"][0], "an error is a row, so that Ray does not print it at length"


@pytest.mark.parametrize("address", ["photos/", "host", "host:", ":80", "host:99999", "ray://h:1", "a/b:80", ""])
def test_addresses_that_are_none(address: str, photos: Path, jpegs: list[Path], tmp_path: Path, capsys) -> None:
    assert command("predict", photos, jpegs[0], "-o", tmp_path / "p", f"--ray={address}") == 2
    err = capsys.readouterr().err
    assert "is no address of a Ray cluster" in err and err.count("\n") == 1 and not (tmp_path / "p").exists()


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A server that answers every request with the same bytes, or stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            links = []
            while True:
                try:
                    link, _who = server.accept()
                except OSError:
                    return
                links.append(link)
                if answer is not None:
                    link.recv(100)
                    link.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 404 Not Found\r\n\r\n", b"", b"-"])
def test_a_server_that_is_not_ray_is_seen_at_once(answer: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_PATIENCE_S", 0.2)
    with listening(answer) as port, pytest.raises(RunError, match="There is no Ray cluster to use at"):
        ray_cluster.check_answers(f"127.0.0.1:{port}")
    with pytest.raises(RunError, match="There is no Ray cluster to use at"):
        ray_cluster.check_answers(f"127.0.0.1:{port}")  # nothing listens any more


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in ("2.9.3", "2.49.2", "1.13.0"):
        monkeypatch.setattr(ray_cluster, "version", lambda _name, found=found: found)
        with pytest.raises(SpecError, match=f"Ray {found} is too old: plusx needs 2.50 or newer"):
            ray_cluster.check_version()
    for found in ("2.50.0", "2.60.1", "3.0.0.dev0"):
        monkeypatch.setattr(ray_cluster, "version", lambda _name, found=found: found)
        ray_cluster.check_version()

    def none(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(ray_cluster, "version", none)
    with pytest.raises(MissingExtra, match=r"pip install 'plusx\[ray\]'"):
        ray_cluster.check_version()


def test_words_that_do_not_go_with_it(photos: Path, jpegs: list[Path], tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(ray_cluster, "version", lambda _name: "2.60.0")
    cases = [
        (["--shard", "1/2", "-o", tmp_path / "p"], 2, "both divide the images"),
        (["-o", tmp_path / "a.csv"], 2, "--ray writes many parts"),
        ([], 2, "name a folder for the parts with -o DIR"),
        (["-o", tmp_path / "p", "--resume"], 2, "--resume is not for --shard and --ray"),
    ]
    for words, code, says in cases:
        assert command("predict", photos, jpegs[0], *words, "--ray=auto") == code
        err = capsys.readouterr().err
        assert says in err and err.count("\n") == 1
    with PartsPlace(LocalStore(tmp_path / "p")).claimed("ray"):
        assert command("predict", photos, jpegs[0], "-o", tmp_path / "p", "--ray=auto") == 3
    assert "is writing to" in capsys.readouterr().err


# ---- on a cluster ----


@pytest.mark.slow
def test_a_job_on_a_cluster_of_its_own(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    """From the command line, in a process of its own, with an image that is none; then again, and with other words."""
    pytest.importorskip("ray")
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in jpegs:
        os.link(path, folder / path.name)
    (folder / "junk.jpg").write_bytes(b"junk")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [
            sys.executable,
            "-m",
            "plusx",
            "predict",
            str(photos),
            "photos",
            "--ray",
            "--part-rows",
            "3",
            *words,
            *ENGINE,
        ]
        return subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=HANG)

    done = run("-o", "parts")
    assert done.returncode == 0, done.stderr
    assert "wrote parts (13 rows)" in done.stderr and "1 of 13 images could not be read" in done.stderr
    assert main(["merge", str(tmp_path / "parts"), "-o", str(tmp_path / "all.jsonl")]) == 0
    line = ["predict", str(photos), str(folder), "-o", str(tmp_path / "whole.jsonl")]
    assert main([*line, *ENGINE]) == 0
    rows = [json.loads(text) for text in (tmp_path / "all.jsonl").open()]
    whole = [json.loads(text) for text in (tmp_path / "whole.jsonl").open()]
    assert rows == [{**row, "path": row["path"].removeprefix(f"{tmp_path}/")} for row in whole]
    again = run("-o", "parts")
    assert again.returncode == 0 and "parts has all rows already (13 rows)" in again.stderr
    other = run("-o", "parts", "--top", "1")
    assert other.returncode == 2 and "holds a part of another job: --top differs" in other.stderr


@pytest.mark.slow
def test_an_error_on_a_node_is_one_line(photos: Path, jpegs: list[Path], tmp_path: Path) -> None:
    """The command believes to be of another version than its nodes."""
    pytest.importorskip("ray")
    code = "import sys, plusx.cluster.with_ray as w; w.__version__ = '9.9'; from plusx.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["predict", str(photos), str(jpegs[0]), "-o", str(tmp_path / "parts"), "--ray", *ENGINE]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 3 and done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if "RAY_BACKEND_LOG_LEVEL" not in line]
    assert len(lines) == 1 and lines[0].startswith(
        "plusx: A node of the Ray cluster stopped the job: This node has plusx "
    ), done.stderr


@pytest.mark.slow
def test_kills_do_not_change_a_row(tmp_path: Path) -> None:
    """A few of the faults of benchmarks/ray_faults.py, which exits with an error where a row differs."""
    pytest.importorskip("ray")
    words = [
        sys.executable,
        str(ROOT / "benchmarks/ray_faults.py"),
        "--rows",
        "300",
        "--part-rows",
        "10",
        "--faults",
        "4",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=2 * HANG)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["equal"] == found["jobs"] >= 1 and sum(found["faults"].values()) >= 4
