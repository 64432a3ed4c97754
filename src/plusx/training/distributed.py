"""The process group that trains one network: rank, world size, broadcasts, and sums that are added in order of rank."""

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
from plusx.i18n import Message, _
from plusx.training.meeting import MEETING, met_store

T = TypeVar("T")
_CPU = torch.device("cpu")
_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another, once they have met. Indexing a large folder must fit into it."""


@dataclass(frozen=True)
class ProcessGroup:
    """Process `rank` of `world_size`, `local_world_size` of them on this machine; `device` holds what they exchange."""

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    device: torch.device = _CPU

    @property
    def is_rank0(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, low: int, high: int) -> tuple[int, int]:
        """This process's part of the range low … high - 1; parts differ in length by at most one.

        >>> [ProcessGroup(rank, 3).share(10, 18) for rank in range(3)]
        [(10, 12), (12, 15), (15, 18)]
        """
        n = high - low
        return low + self.rank * n // self.world_size, low + (self.rank + 1) * n // self.world_size

    def all_reduce_counts(self, counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """The sums over all processes: int64, exact."""
        own = np.array(counts, dtype=np.int64)
        if self.world_size == 1:
            return own
        total = torch.from_numpy(own).to(self.device)
        with _peer_errors():
            dist.all_reduce(total)
        return total.cpu().numpy()

    def any_rank(self, flag: bool) -> bool:
        """Whether `flag` is true on any rank."""
        return bool(self.all_reduce_counts([int(flag)])[0])

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> None:
        """Puts into each tensor its sum over all processes; see `summed`. All tensors have one dtype."""
        if self.world_size == 1 or not tensors:
            return
        total = self.summed(torch.cat([t.reshape(-1) for t in tensors]))
        for tensor, found in zip(tensors, total.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(found.view(tensor.shape))

    def summed(self, flat: Tensor) -> Tensor:
        """The sum of `flat` (n,), which may be overwritten, over all processes: the same bits in each, added in order of rank.

        Each process adds up a share of the numbers, so like a ring it sends every number twice.
        """
        n, missing = flat.numel(), -flat.numel() % self.world_size
        sent = torch.cat([flat, flat.new_zeros(missing)]) if missing else flat
        received = torch.empty_like(sent)
        with _peer_errors():
            dist.all_to_all_single(received, sent)
        total, *others = received.view(self.world_size, -1)
        for other in others:
            total += other
        with _peer_errors():
            dist.all_gather_into_tensor(sent, total)
        return sent[:n]

    def all_reduce_mean(self, tensors: Sequence[Tensor]) -> None:
        """Puts into each tensor its mean over all processes, as `all_reduce_sum` does the sum."""
        if self.world_size == 1:
            return
        self.all_reduce_sum(tensors)
        for tensor in tensors:
            tensor /= self.world_size

    def broadcast(self, value: T) -> T:
        """The value that rank 0 gave; plain data."""
        if self.world_size == 1:
            return value
        box: list[Any] = [value]
        with _peer_errors():
            dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def broadcast_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Puts into each tensor what rank 0 has there."""
        if self.world_size > 1:
            for tensor in tensors:
                there = tensor.to(self.device).contiguous()
                with _peer_errors():
                    dist.broadcast(there, src=0)
                tensor.copy_(there)

    def all_gather(self, value: T) -> list[T]:
        """What each process gave, in order of rank; plain data."""
        values: list[Any] = [value] * self.world_size
        if self.world_size > 1:
            with _peer_errors():
                dist.all_gather_object(values, value)
        return values

    def run_on_all_ranks(self, work: Callable[[], T]) -> T:
        """work() of this process. If it fails on any rank, all raise the error of the lowest such rank, and that one prints it."""
        if self.world_size == 1:
            return work()
        result: T | None = None
        failed: PlusxError | None = None
        try:
            result = work()
        except PlusxError as error:
            failed = error
        for rank, error in enumerate(self.all_gather(failed)):
            if error is not None:
                error.quiet = rank != self.rank
                raise error from (failed if rank == self.rank else None)
        return result  # type: ignore[return-value]

    def run_on_rank0(self, work: Callable[[], T]) -> T | None:
        """work() of rank 0, None elsewhere. If it fails, all ranks raise its error."""
        return self.run_on_all_ranks(lambda: work() if self.is_rank0 else None)

    def rank0_then_others(self, work: Callable[[], T]) -> T:
        """work() of rank 0, then of the others, which find what rank 0 has put into a cache."""
        result = self.run_on_rank0(work)
        others = self.run_on_all_ranks(lambda: None if self.is_rank0 else work())
        return result if self.is_rank0 else others  # type: ignore[return-value]


SINGLE_PROCESS = ProcessGroup()


def process_group(device: str = "auto") -> ProcessGroup:
    """The group that torchrun or a caller's init_process_group made, or this process alone.

    NCCL where the device is a GPU, gloo elsewhere. Raises SpecError, RunError.
    """
    size = dist.get_world_size() if dist.is_initialized() else _env_int("WORLD_SIZE", 1)
    if size == 1 and not dist.is_initialized():
        return SINGLE_PROCESS
    local, local_rank = _env_int("LOCAL_WORLD_SIZE", size), _env_int("LOCAL_RANK", 0)
    cuda = device in ("auto", "cuda") and torch.cuda.is_available()
    if not dist.is_initialized():
        try:
            if cuda:
                torch.cuda.set_device(local_rank)
            store, rank, size = met_store()
            # the deadline of the meeting holds for the connections too, and is lifted once they stand
            dist.init_process_group(
                "nccl" if cuda else "gloo", store=store, rank=rank, world_size=size, timeout=MEETING
            )
            set_timeout = getattr(dist, "set_timeout", None) or dist.distributed_c10d._set_pg_timeout
            set_timeout(_TIMEOUT)
        except (RuntimeError, ValueError, TimeoutError) as error:  # DistNetworkError and its like are RuntimeErrors
            raise RunError(_connection_error(error)) from error
        atexit.register(_destroy)
    on = torch.device("cuda", local_rank) if dist.get_backend() == "nccl" else torch.device("cpu")
    return ProcessGroup(dist.get_rank(), size, local, on)


@contextmanager
def _peer_errors() -> Iterator[None]:
    """Turns the backend's error about a lost process into RunError."""
    try:
        yield
    except RuntimeError as error:  # DistBackendError and gloo's own are RuntimeErrors
        raise RunError(
            _(
                "Another process of this training run has ended or does not answer. With torchrun --max-restarts 3 all of "
                "them are restarted, and training resumes from the last checkpoint."
            )
        ) from error


def restarted() -> bool:
    """Whether torchrun has restarted these processes because one of them died."""
    return _env_int("TORCHELASTIC_RESTART_COUNT", 0) > 0


def _env_int(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise SpecError(
            _(
                "{name}={text!r} in the environment is not a whole number. torchrun sets it; unset it otherwise.",
                name=name,
                text=text,
            )
        )
    return int(text) if text else default


def _connection_error(error: Exception) -> Message:
    where = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
    text = " ".join(str(error).split())
    if isinstance(error, TimeoutError):
        return _(
            "Not all processes of this training run appeared at {address} within {seconds} s. torchrun --max-restarts 3 "
            "starts all of them again.",
            address=where, seconds=int(MEETING.total_seconds()),
        )  # fmt: skip
    if "EADDRINUSE" in text or "in use" in text:
        return _(
            "The port of {address} is in use. torchrun --rdzv-endpoint localhost:0 takes a free one.", address=where
        )
    return _(
        "The processes of this training run could not connect at {address}. Start all of them with torchrun, and check "
        "that each machine can reach this address.",
        address=where,
    )


def _destroy() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
