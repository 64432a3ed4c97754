"""Locks go with their process, one has them at a time, and what killed writers left beside a file is swept."""

from __future__ import annotations

import json
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from plusx import locks
from plusx.locks import LockedError, UnsupportedLockError, acquire, holder, replacing


@pytest.fixture
def child() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Forks a process that does something; at the end it is killed, whatever became of the test."""
    pids: list[int] = []

    def fork(work: Callable[[], object]) -> int:
        pids.append(os.fork())
        if pids[-1]:
            return pids[-1]
        try:
            work()
        finally:
            os._exit(0)

    yield fork
    for pid in pids:
        kill(pid)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


Child = Callable[[Callable[[], object]], int]


def wait_for(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.005)


def test_the_second_is_told_who_holds_it_and_death_frees_it(child: Child, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    pid = child(lambda: (acquire(path), time.sleep(600)))
    wait_for(lambda: (found := holder(path)) is not None and found.pid is not None)
    with pytest.raises(LockedError) as caught:
        acquire(path, 0)
    found = caught.value.holder
    assert (found.pid, found.host, found.is_this_process) == (pid, platform.node(), False)
    assert f"process {pid} on {platform.node()}, since 20" in str(found.text())
    kill(pid)
    assert path.exists() and holder(path) is None
    lock = acquire(path, 0)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release()
    lock.release()
    assert not path.exists() and holder(path) is None


def test_it_holds_against_the_same_process_and_not_in_a_forked_child(child: Child, tmp_path: Path) -> None:
    lock = acquire(tmp_path / "lock")
    with pytest.raises(LockedError) as caught:
        acquire(tmp_path / "lock", 0)
    assert caught.value.holder.is_this_process
    child(lambda: time.sleep(600))  # as a DataLoader's worker that outlives the training
    lock.release()
    acquire(tmp_path / "lock", 0).release()


def increments(path: Path, times: int) -> None:
    for _ in range(times):
        lock = acquire(path.with_suffix(".lock"), 60)
        value = int(path.read_text())
        time.sleep(0)  # the other's turn
        path.write_text(str(value + 1))
        lock.release()


@pytest.mark.parametrize("locked", [True, False])
def test_two_hundred_races_lose_nothing(
    locked: bool, child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, a hundred turns each, the lock's file made and removed at each. Without the lock, counts are lost."""
    if not locked:
        monkeypatch.setattr(locks, "_try_lock", lambda _: True)
        monkeypatch.setattr(locks, "_is_at", lambda *_: True)
    counter = tmp_path / "counter"
    counter.write_text("0")

    def begin_together() -> None:
        wait_for((tmp_path / "go").exists)
        increments(counter, 100)

    pids = [child(begin_together) for _ in range(2)]
    (tmp_path / "go").touch()
    for pid in pids:
        os.waitpid(pid, 0)
    assert (counter.read_text() == "200") == locked


def test_a_file_system_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> bool:
        raise UnsupportedLockError

    monkeypatch.setattr(locks, "_try_lock", refuse)
    lock = acquire(tmp_path / "lock")
    assert not lock.supported
    with pytest.raises(UnsupportedLockError):
        holder(tmp_path / "lock")
    lock.release()


@pytest.mark.parametrize("text", ["", "[", "[1]", '{"host": 1, "pid": "x", "since": 2}', '{"pid": 3}', "\x1b" * 10**5])
def test_any_text_in_the_file_is_no_more_than_text(text: str, tmp_path: Path) -> None:
    lock = acquire(tmp_path / "lock")
    (tmp_path / "lock").write_text(text)
    found = holder(tmp_path / "lock")
    assert found is not None and str(found.text()) == "another process"
    (tmp_path / "lock").write_text(json.dumps({"host": "a\x1b[2Jb\n", "pid": 3, "since": "x" * 1000}))
    found = holder(tmp_path / "lock")
    assert found is not None and found.host == "a[2Jb" and len(str(found.since)) == 100
    lock.release()


def test_what_killed_writers_left_is_swept_and_what_is_being_written_stays(child: Child, tmp_path: Path) -> None:
    def begin(name: str) -> None:
        with replacing(tmp_path / name) as file:
            file.write(b"half")
            file.flush()
            time.sleep(600)

    dead, _alive = child(lambda: begin("a.pack")), child(lambda: begin("b.pack"))
    wait_for(lambda: [path.stat().st_size for path in tmp_path.glob(".*.plusx-part")] == [4, 4])
    kill(dead)
    with replacing(tmp_path / "c.pack") as file:
        file.write(b"whole")
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 2 and "c.pack" in left and any(name.startswith(".b.pack.") for name in left)
    assert (tmp_path / "c.pack").read_bytes() == b"whole"


def test_a_writer_that_fails_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "x") as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
