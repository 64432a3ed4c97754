"""Gradients of several processes: torch's DistributedDataParallel, with a hook that adds in order of rank.

Its own sums depend on how gradients lie in buckets: with more than two processes gloo's ring adds each element in an order
that depends on its position. A resumed run lays its buckets out differently and would end in other bits. Here every element is
added in order of rank, so the sum depends on the numbers alone.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from inspect import signature
from typing import Any

from torch import Tensor, nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from plusx.errors import RunError
from plusx.training.distributed import ProcessGroup

BUCKET_MB = 25
"""torch's own size of a bucket."""
_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
"""The option that leaves buffers alone; torch 2.15 has given it another name."""


class SummedGradients:
    """The network of each process; after a backward pass its gradients are the sums over all processes.

    On processors a thread exchanges each bucket as soon as it is full, while the backward pass goes on. With NCCL the exchange
    is enqueued on the device, and the host does not wait.
    """

    def __init__(self, network: nn.Module, group: ProcessGroup) -> None:
        self.group = group
        self._thread = ThreadPoolExecutor(1, "plusx-gradients") if group.device.type == "cpu" else None
        self._failed: RunError | None = None
        options: dict[str, Any] = {"bucket_cap_mb": BUCKET_MB, "init_sync": False, _BUFFERS: False}
        self._parallel: Any = DistributedDataParallel(network, gradient_as_bucket_view=True, **options)
        # torch refuses a hook whose annotations are texts
        self._parallel.register_comm_hook(None, lambda _state, bucket: self._begun(bucket.buffer()))

    def __call__(self, x: Tensor) -> Tensor:
        """As the network."""
        return self._parallel(x)

    @contextmanager
    def backward(self, last: bool) -> Iterator[None]:
        """Around the forward and backward pass of a part of the batch; the gradients are exchanged with the last.

        Raises RunError where another process is gone.
        """
        with nullcontext() if last else self._parallel.no_sync():
            try:
                yield
            except RuntimeError:  # torch passes on what went wrong in the thread as text
                if self._failed is None:
                    raise
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Takes torch's hooks off the parameters."""
        self._parallel = None
        if self._thread is not None:
            self._thread.shutdown()
        gc.collect()  # its reducer is in a circle with the hook

    def _begun(self, flat: Tensor) -> Any:
        future: Any = Future()
        if self._thread is None:
            self._exchange(flat, future)
        else:
            self._thread.submit(self._exchange, flat, future)
        return future

    def _exchange(self, flat: Tensor, future: Any) -> None:
        try:
            future.set_result(self.group.summed(flat))
        except RunError as error:
            self._failed = error
            future.set_exception(error)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else RuntimeError(str(error)))
