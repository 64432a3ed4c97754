"""Disks that fill up, files that are cut, bits that turn: the newest whole checkpoint stands, and one line says what went."""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bundles.tmpfs import PAGE, fill, small_disk
from plusx.bundles import (
    atomic,
    check_output_dir,
    newest_complete,
    prune_checkpoints,
    read_checkpoint_dir,
    read_run,
    snapshot,
    start_run,
    tensors_to_bytes,
    write_checkpoint_dir,
)
from plusx.errors import BundleError, PlusxError, RunError

FIELDS = {"command": [], "spec": {}, "recipe": {}, "data": {}, "seed": 0, "versions": {}}


def files(step: int) -> dict[str, bytes]:
    """What a checkpoint holds: three tensor files of several pages, one of none whole, and the state."""
    draw = np.random.default_rng(step)

    def tensors(rows: int) -> bytes:
        return tensors_to_bytes({"a": draw.normal(size=(rows, 64)).astype(np.float32), "b": np.array(step)})

    return {
        "model.safetensors": tensors(70),
        "optimiser.safetensors": tensors(40),
        "ema.safetensors": tensors(3),
        "state.json": f'{{"progress": {{"step": {step}}}, "torch": "2.14"}}'.encode(),
    }


def save(parent: Path, step: int) -> Path:
    return write_checkpoint_dir(parent, f"step-{step:08d}", files(step), {"step": step})


def assert_one_line(error: PlusxError) -> None:
    assert error.exit_code == 3 and "\n" not in str(error) and ". " in str(error)


# ---- full disks ----


def pages_of(content: dict[str, bytes]) -> int:
    return sum(-(-len(raw) // PAGE) for raw in content.values())


def test_a_full_disk_at_every_page_of_a_checkpoint(tmp_path):
    """The disk is full after 0, 1, 2 … pages, up to where the checkpoint fits: it stops in every file, none is lost."""
    with small_disk(tmp_path / "disk", 4 * pages_of(files(1)) + 8) as disk:
        save(disk / "run", 1)
        stopped_in: list[str] = []
        for free in range(pages_of(files(2)) + 4):
            ballast = fill(disk, free)
            try:
                whole = save(disk / "run", 2)
            except RunError as error:
                assert_one_line(error)
                assert "disk is full" in str(error)
                stopped_in.append(str(free))
                assert newest_complete(disk / "run") == disk / "run/step-00000001"
                assert read_checkpoint_dir(disk / "run/step-00000001") == files(1)
                assert [path.name for path in (disk / "run").iterdir()] == ["step-00000001"], "left-overs take room"
            else:
                assert read_checkpoint_dir(whole) == files(2) and newest_complete(disk / "run") == whole
                break
            ballast.unlink()
        else:
            pytest.fail("the checkpoint never fitted")
    # every page is needed, the manifest's too: a writer that forgot one would end before
    assert len(stopped_in) == pages_of(files(2)) + 1


def test_the_full_disk_is_felt(tmp_path, monkeypatch):
    """Negative control: a writer that ignores the error leaves a checkpoint which hashing finds, and only hashing."""

    def careless(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb", buffering=0) as file:
            try:
                file.write(content)
            except OSError:
                return

    monkeypatch.setattr(atomic, "_write_file", careless)
    with small_disk(tmp_path / "disk", 4 * pages_of(files(1)) + 8) as disk:
        save(disk / "run", 1)
        fill(disk, 6)
        whole = save(disk / "run", 2)
        with pytest.raises(BundleError):
            read_checkpoint_dir(whole)


@contextmanager
def file_size_limit(most: int) -> Iterator[None]:
    """RLIMIT_FSIZE for this process. Python ignores SIGXFSZ, so a write beyond fails with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def in_child(work: Callable[[], None]) -> int:
    """Exit code of a forked child that does `work`; 0 when it returns."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def test_a_file_size_limit_at_every_file_of_a_checkpoint(tmp_path):
    """RLIMIT_FSIZE in a child, from nothing to where the largest file fits: the kernel cuts the write, the old stands."""
    parent = tmp_path / "run"
    save(parent, 1)
    sizes = {name: len(raw) for name, raw in files(2).items()}
    largest = max(sizes.values())
    limits = sorted({0, 1, *(size - 1 for size in sizes.values()), *range(PAGE, largest, PAGE)})

    def refused(limit: int) -> None:
        with file_size_limit(limit):
            try:
                save(parent, 2)
            except RunError as error:
                assert_one_line(error)
                assert "Raise the limit (ulimit -f)" in str(error)
            else:
                raise AssertionError("it was written")

    for limit in limits:
        assert in_child(lambda limit=limit: refused(limit)) == 0, limit
        assert newest_complete(parent) == parent / "step-00000001"
        assert [path.name for path in parent.iterdir()] == ["step-00000001"]

    def fits() -> None:
        with file_size_limit(largest):
            save(parent, 2)

    assert in_child(fits) == 0 and read_checkpoint_dir(parent / "step-00000002") == files(2)
    assert in_child(lambda: refused(largest)) == 1  # negative control: the child does tell


# ---- cuts and flips ----


def damages(raw: bytes, seed: int, flips: int = 40) -> Iterator[bytes]:
    """The file cut at every 4 KiB and before its last byte (a manifest's last line end carries nothing), then with one
    bit turned at seeded places."""
    for cut in sorted({*range(0, len(raw), PAGE), len(raw.rstrip(b"\n")) - 1}):
        yield raw[:cut]
    draw = random.Random(seed)
    for at in (0, len(raw) - 1, *(draw.randrange(len(raw)) for _ in range(flips))):
        yield raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :]


def fell_back(parent: Path) -> bool:
    """Whether the checkpoint before the newest is taken, with one line that says so."""
    said: list[str] = []
    found = newest_complete(parent, said.append)
    if found == parent / "step-00000002":
        return False
    assert found == parent / "step-00000001"
    assert len(said) == 1 and said[0].startswith("Checkpoint step-00000002 is skipped. ") and "\n" not in said[0]
    return True


def test_every_cut_and_flip_falls_back_to_the_one_before(tmp_path):
    save(tmp_path, 1)
    victim, tried = save(tmp_path, 2), 0
    names = sorted(path.name for path in victim.iterdir())
    assert names == ["ema.safetensors", "manifest.json", "model.safetensors", "optimiser.safetensors", "state.json"]
    for name in names:
        raw = (victim / name).read_bytes()
        for content in damages(raw, seed=len(name)):
            (victim / name).write_bytes(content)
            assert fell_back(tmp_path), f"{name} with {len(content)} of {len(raw)} bytes was taken for whole"
            with pytest.raises(BundleError):
                read_checkpoint_dir(victim)
            tried += 1
        (victim / name).write_bytes(raw)
        assert not fell_back(tmp_path)
    assert tried > 200


def test_without_hashes_flips_are_not_caught(tmp_path, monkeypatch):
    """Negative control: it is the hashes that catch them; sizes and JSON catch cuts alone."""
    save(tmp_path, 1)
    victim = save(tmp_path, 2)
    monkeypatch.setattr(snapshot.OpenFiles, "_compare", lambda *_: None)
    monkeypatch.setattr(atomic, "_digest", lambda manifest: manifest.get(atomic._DIGEST))
    missed: dict[str, int] = {}
    for name in ("model.safetensors", "state.json", "manifest.json"):
        raw = (victim / name).read_bytes()
        for content in damages(raw, seed=len(name)):
            (victim / name).write_bytes(content)
            taken = not fell_back(tmp_path)
            assert not (taken and len(content) != len(raw)), "a cut is seen without hashes"
            missed[name] = missed.get(name, 0) + taken
        (victim / name).write_bytes(raw)
    assert missed["model.safetensors"] == missed["state.json"] == 42 and missed["manifest.json"] > 0


# ---- what killed writers leave ----


class Killed(BaseException):
    """Not an Exception: nothing in plusx may catch it, as nothing catches kill -9."""


def test_a_folder_with_nothing_but_a_killed_writers_leftover_takes_a_run(tmp_path, monkeypatch):
    """Killed before run.json was renamed into place: the same command, typed again, must not be refused."""

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(atomic, "_rename", kill)
        start_run(tmp_path / "run", FIELDS)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".run.json.new", "checkpoints"]
    with pytest.raises(BundleError, match=r"killed before it began\. Run its command again"):
        read_run(tmp_path / "run")
    check_output_dir(tmp_path / "run")
    assert read_run(start_run(tmp_path / "run", FIELDS)).seed == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoints", "run.json"]


@pytest.mark.parametrize("name", [".config", ".other.json.new", "run.json.new", ".run.json", ".run.json.newer"])
def test_anything_else_is_content(tmp_path, name):
    """Negative control: only the writer's own file is nothing."""
    (tmp_path / name).touch()
    with pytest.raises(BundleError, match="not empty"):
        check_output_dir(tmp_path)


def test_half_checkpoints_of_killed_writers_are_swept(tmp_path):
    """A resumed run writes other steps (they fall due by the clock), so nobody would ever write over these."""
    for step in (1, 2, 3):
        save(tmp_path, step)
    shutil.copytree(tmp_path / "step-00000002", tmp_path / ".step-00000007.new")
    shutil.copytree(tmp_path / "step-00000002", tmp_path / ".step-00000001.gone")
    shutil.copytree(tmp_path / "step-00000002", tmp_path / ".step-00000003.old")  # replaced: step 3 stands
    shutil.copytree(tmp_path / "step-00000002", tmp_path / ".step-00000004.old")  # the only copy of step 4
    (tmp_path / ".mine").mkdir()
    assert prune_checkpoints(tmp_path, 2) == ["step-00000001"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "step-00000002",
        "step-00000003",
        ".step-00000004.old",
        ".mine",
    }
    assert newest_complete(tmp_path) == tmp_path / "step-00000004"
