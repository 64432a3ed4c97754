"""The interface of an engine: images in, what the network gives out, from several threads at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plusx.i18n import Message, _, _n


@dataclass(frozen=True)
class ExecutionPlan:
    """`workers` threads, each decoding an image and then having it computed; `threads` cores in all, `batch` a call."""

    engine: str
    precision: str
    batch: int
    workers: int
    threads: int
    device: str = "cpu"

    def __str__(self) -> str:
        return str(self.text())

    def text(self) -> Message:
        each = self.threads // self.workers or 1
        workers = _n("{n} worker of {each}", "{n} workers of {each}", self.workers, each=each)
        return _(
            "{engine} {precision}, {workers}, batch {batch}",
            engine=self.engine, precision=self.precision, workers=workers, batch=self.batch,
        )  # fmt: skip

    def to_dict(self) -> Mapping[str, Any]:
        return asdict(self)


class Engine(Protocol):
    """A compiled network. `infer` may be called by `plan.workers` threads at a time."""

    plan: ExecutionPlan

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits, features or maps (n, …) of uint8 images (n, h, w, c); n ≤ plan.batch."""
        ...


def fill_batch(images: NDArray[np.uint8], batch: int) -> NDArray[np.uint8]:
    """The images, followed by copies of the last one up to a whole batch: an engine is compiled for one batch size."""
    missing = batch - len(images)
    return images if missing <= 0 else np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
