"""Processes that train one network together: who I am, and what all must agree on, in sums of a fixed order.

Not torch's DistributedDataParallel: it sums gradients in buckets, and beyond two processes gloo's ring gives each element
an order of addition that depends on where in a bucket it lies; a resumed run lays its buckets out anew and ends in other
bits. Here every element is added in order of rank, so the sum depends on nothing but the numbers.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import distributed as dist

from plusx.errors import PlusxError, RunError, SpecError

T = TypeVar("T")
_CPU = torch.device("cpu")
_AT_ONCE = 1 << 23
"""Numbers of a sum that travel together: three copies of 32 MB are held, not three of the whole network."""
_PATIENCE = timedelta(minutes=30)
"""How long a process waits for another: longer than the first look at a large folder takes."""


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes, `local` of them on this machine; `device` is where their messages lie."""

    rank: int = 0
    size: int = 1
    local: int = 1
    device: torch.device = _CPU

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def share(self, low: int, high: int) -> tuple[int, int]:
        """This process's part of the places low … high - 1; parts differ by at most one place.

        >>> [World(rank, 3).share(10, 18) for rank in range(3)]
        [(10, 12), (12, 15), (15, 18)]
        """
        n = high - low
        return low + self.rank * n // self.size, low + (self.rank + 1) * n // self.size

    def sum_counts(self, counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """The sums over all processes: int64, exact."""
        own = np.array(counts, dtype=np.int64)
        if self.size == 1:
            return own
        everybody = torch.from_numpy(own).to(self.device)
        with _in_touch():
            dist.all_reduce(everybody)
        return everybody.cpu().numpy()

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return bool(self.sum_counts([int(flag)])[0])

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Puts into each tensor its sum over all processes: the same bits in each, added in order of rank.

        All tensors have one dtype. Like a ring it sends every number twice: each process adds up a share of them.
        """
        if self.size == 1:
            return
        waiting: list[Tensor] = []
        for tensor in tensors:
            waiting.append(tensor)
            if sum(t.numel() for t in waiting) >= _AT_ONCE:
                self._add(waiting)
                waiting = []
        if waiting:
            self._add(waiting)

    def _add(self, tensors: Sequence[Tensor]) -> None:
        flat = torch.cat([t.reshape(-1) for t in tensors])
        n = flat.numel()
        share = -(-n // self.size)
        sent = flat.new_zeros(self.size * share)
        sent[:n] = flat
        received = torch.empty_like(sent)
        with _in_touch():
            dist.all_to_all_single(received, sent)
        parts = received.view(self.size, share)
        total = parts[0].clone()
        for part in parts[1:]:
            total += part
        with _in_touch():
            dist.all_gather_into_tensor(sent, total)
        for tensor, found in zip(tensors, sent[:n].split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(found.view(tensor.shape))

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Puts into each tensor its mean over all processes, as `add`."""
        if self.size == 1:
            return
        self.add(tensors)
        for tensor in tensors:
            tensor /= self.size

    def from_first(self, value: T) -> T:
        """The value that the first process gave: plain data."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        with _in_touch():
            dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def tensors_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Puts into each tensor what the first process has there."""
        if self.size > 1:
            for tensor in tensors:
                there = tensor.to(self.device).contiguous()
                with _in_touch():
                    dist.broadcast(there, src=0)
                tensor.copy_(there)

    def gather(self, value: T) -> list[T]:
        """What each process gave, by rank: plain data."""
        everybody: list[Any] = [value] * self.size
        if self.size > 1:
            with _in_touch():
                dist.all_gather_object(everybody, value)
        return everybody

    def together(self, work: Callable[[], T]) -> T:
        """work() of this process; when it fails in any process, all raise the first one's error, and one says it."""
        if self.size == 1:
            return work()
        result: T | None = None
        failed: PlusxError | None = None
        try:
            result = work()
        except PlusxError as error:
            failed = error
        for rank, error in enumerate(self.gather(failed)):
            if error is not None:
                error.quiet = rank != self.rank
                raise error from (failed if rank == self.rank else None)
        return result  # type: ignore[return-value]

    def first_then_others(self, work: Callable[[], T]) -> T:
        """work() of the first process, then of the others: they find what it has put into a cache."""
        result = self.together(lambda: work() if self.first else None)
        others = self.together(lambda: None if self.first else work())
        return result if self.first else others  # type: ignore[return-value]


ALONE = World()


def here(device: str = "auto") -> World:
    """The world that torchrun (or a caller's init_process_group) made, or this process alone.

    NCCL where the device is a GPU, gloo elsewhere. Raises SpecError, RunError.
    """
    size = dist.get_world_size() if dist.is_initialized() else _number("WORLD_SIZE", 1)
    if size == 1 and not dist.is_initialized():
        return ALONE
    local, local_rank = _number("LOCAL_WORLD_SIZE", size), _number("LOCAL_RANK", 0)
    cuda = device in ("auto", "cuda") and torch.cuda.is_available()
    if not dist.is_initialized():
        try:
            if cuda:
                torch.cuda.set_device(local_rank)
            dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:  # DistNetworkError and its like are RuntimeErrors
            raise RunError(_no_meeting(error)) from error
        atexit.register(_leave)
    on = torch.device("cuda", local_rank) if dist.get_backend() == "nccl" else torch.device("cpu")
    return World(dist.get_rank(), size, local, on)


@contextmanager
def _in_touch() -> Iterator[None]:
    """Turns the backend's complaint that another process is gone into RunError."""
    try:
        yield
    except RuntimeError as error:  # DistBackendError and gloo's own are RuntimeErrors
        raise RunError(
            "another process of this training is gone or does not answer. With torchrun --max-restarts 3 all are started "
            "again, and the training is resumed from its last checkpoint."
        ) from error


def restarted() -> bool:
    """Whether torchrun has started these processes anew because one of them died."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) > 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise SpecError(f"{name}={text}, must be a whole number; torchrun sets it")
    return int(text) if text else default


def _no_meeting(error: Exception) -> str:
    where = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
    text = " ".join(str(error).split())
    if "EADDRINUSE" in text or "in use" in text:
        return f"port of {where} is in use; torchrun --rdzv-endpoint localhost:0 takes a free one"
    return (
        f"the processes of this training could not meet at {where}. Start all of them with torchrun, and check that this "
        f"address can be reached from each machine."
    )


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
