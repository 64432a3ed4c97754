"""The living meet among themselves, whatever the dead of an earlier attempt left in the store that torchrun keeps."""

from __future__ import annotations

import json
import threading
import time

import pytest
from torch._C._distributed_c10d import HashStore

from plusx.training import meeting
from plusx.training.meeting import meet


def together(store: HashStore, size: int, seconds: float = 20, delays: tuple[float, ...] = ()) -> list[str | None]:
    """What each of `size` processes is told; None where its time ran out."""
    told: list[str | None] = [None] * size

    def one(rank: int) -> None:
        time.sleep(delays[rank] if delays else 0)
        try:
            told[rank] = meet(store, rank, size, time.monotonic() + seconds)
        except TimeoutError:
            pass

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


@pytest.mark.parametrize("size", [1, 2, 5])
def test_one_token_for_all_and_another_each_time(size: int) -> None:
    """In the same store under the same keys: a restart that counts no attempt up."""
    store, seen = HashStore(), []
    for _ in range(10):
        told = together(store, size)
        assert None not in told and len(set(told)) == 1
        seen += told[:1]
    assert len(set(seen)) == 10


@pytest.mark.parametrize("late", [0, 1, 2])
def test_who_comes_late_meets_the_living_too(late: int) -> None:
    """The others find the greetings of the dead for a while: rank 0 invites anew, and the invited do not follow the old one."""
    store = HashStore()
    old = together(store, 3)
    told = together(store, 3, delays=tuple(0.3 * (rank == late) for rank in range(3)))
    assert None not in told and len(set(told)) == 1 and told[0] not in old


@pytest.mark.parametrize("left", ["hello", "invitation", "both"])
def test_the_keys_of_the_dead_lead_nobody_astray(left: str) -> None:
    """An attempt that was killed in the middle of its meeting, by what it may have left."""
    store = HashStore()
    if left != "invitation":
        for rank in range(3):
            store.set(f"hello/{rank}", f"dead{rank}")
    if left != "hello":
        store.set("invitation", json.dumps(["dead", ["dead0", "dead1", "dead2"]]))
        store.set("dead/begin", "yes")
    told = together(store, 3)
    assert len(set(told)) == 1 and told[0] not in (None, "dead")


def test_without_the_numbers_the_dead_would_be_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: processes that all say the same are taken for those of before."""
    store = HashStore()
    monkeypatch.setattr(meeting.secrets, "token_hex", lambda _: "same")
    first = together(store, 2)
    assert together(store, 2)[1] == first[1]


def test_who_is_alone_gives_up_in_time() -> None:
    for rank in (0, 1):
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            meet(HashStore(), rank, 2, time.monotonic() + 0.2)
        assert time.monotonic() - begun < 60
