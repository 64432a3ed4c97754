"""The interface of an engine: images in, what the network gives out, from several threads at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plusx.errors import SpecError
from plusx.i18n import Message, _, _n
from plusx.settings import MAX_THREADS

MOST_BATCH = 65_536


@dataclass(frozen=True)
class ExecutionPlan:
    """`workers` threads, each decoding an image and then having it computed; `threads` cores in all, `batch` a call."""

    engine: str
    precision: str
    batch: int
    workers: int
    threads: int
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, number, most in (
            ("batch", self.batch, MOST_BATCH), ("workers", self.workers, MAX_THREADS), ("threads", self.threads, MAX_THREADS),
        ):  # fmt: skip
            if type(number) is not int or not 1 <= number <= most:
                raise SpecError(
                    _("{name}={number!r} is out of range. Write a whole number from 1 to {most}.",
                      name=name, number=number, most=most)
                )  # fmt: skip

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
