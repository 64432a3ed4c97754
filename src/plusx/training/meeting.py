"""How the processes of a training run meet: the living among themselves, and within a minute.

torchrun keeps one store for all attempts (unless TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1), and gloo finds there the addresses
of processes that died in an attempt before; it waits for them until its deadline. The number of
the attempt does not tell them apart: a machine that came back counts from zero. So each process says hello with a number drawn at random, rank 0 names the
numbers that it has read, and the meeting goes on under a key of its own once every process has found its own number there.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from datetime import timedelta

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

MEETING = timedelta(seconds=60)
"""How long a process waits for the others to appear. It ends then, so that torchrun starts all of them again."""
_POLL_S = 0.02


def met_store(deadline: timedelta = MEETING) -> tuple[Store, int, int]:
    """A store that this attempt's processes alone use, the rank and the world size; from torchrun's environment.

    Raises RuntimeError and ValueError as torch does, and TimeoutError when the others do not appear.
    """
    end = time.monotonic() + deadline.total_seconds()
    store, rank, size = next(iter(rendezvous("env://", timeout=deadline)))
    shared = PrefixStore(f"plusx/{os.environ.get('TORCHELASTIC_RUN_ID', '')}", store)
    token = meet(shared, rank, size, end)
    return PrefixStore(token, shared), rank, size


def meet(store: Store, rank: int, size: int, end: float) -> str:
    """A token that rank 0 has drawn for exactly the processes that take part now. Raises TimeoutError at `end` (monotonic)."""
    own = secrets.token_hex(8)
    store.set(f"hello/{rank}", own)
    return _invite(store, size, end) if rank == 0 else _follow(store, rank, own, end)


def _invite(store: Store, size: int, end: float) -> str:
    """Names the numbers in the store, anew whenever one changes, until all who are named have answered."""
    invited: list[str | None] = []
    token = ""

    def all_answered() -> bool:
        nonlocal invited, token
        found = [_get(store, f"hello/{rank}") for rank in range(size)]
        if None in found:
            return False
        if found != invited:
            invited, token = found, secrets.token_hex(8)
            store.set("invitation", json.dumps([token, invited]))
        return all(_get(store, f"{token}/{rank}") is not None for rank in range(1, size))

    _until(all_answered, end)
    store.set(f"{token}/begin", "yes")
    return token


def _follow(store: Store, rank: int, own: str, end: float) -> str:
    """Answers every invitation that names this process, until one begins; those of the dead name another."""
    token = ""

    def begins() -> bool:
        nonlocal token
        found = _get(store, "invitation")
        if found is None:
            return False
        newest, invited = json.loads(found)
        if newest != token and rank < len(invited) and invited[rank] == own:
            token = newest
            store.set(f"{token}/{rank}", "yes")
        return bool(token) and _get(store, f"{token}/begin") is not None

    _until(begins, end)
    return token


def _until(done: Callable[[], bool], end: float) -> None:
    while not done():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(_POLL_S)


def _get(store: Store, key: str) -> str | None:
    return store.get(key).decode() if store.check([key]) else None
