"""Naming images without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle, open_bundle
from plusx.errors import DataError
from plusx.runtime.engine import open_engine
from plusx.runtime.inputs import Item, Source
from plusx.runtime.pipeline import Pipeline
from plusx.runtime.plan import choose

Image = str | Source


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network said of one image: classes with probabilities, likeliest first; or why there is none."""

    path: str
    error: str | None
    top: tuple[tuple[str, float], ...] = ()


class Predictor:
    """A network ready to name images: `predictor(["a.jpg", "b.png"])`. Made by `plusx.predictor`."""

    def __init__(self, bundle: Bundle, pipeline: Pipeline, top: int) -> None:
        self.bundle, self.pipeline, self.top = bundle, pipeline, top
        self.plan = pipeline.engine.plan

    def __call__(self, images: Image | Iterable[Image]) -> list[Prediction]:
        """One Prediction an image, in order: a path, the bytes of a file, or a uint8 array (h, w, c)."""
        one = isinstance(images, str | Path | bytes | np.ndarray)
        return list(self.stream(_items([images] if one else images)))  # type: ignore[list-item]

    def stream(self, items: Iterable[Item]) -> Iterator[Prediction]:
        """As a call, for items as they come and with bounded memory: see `plusx.runtime.find`."""
        for name, error, answer in self.pipeline.run(items):
            yield Prediction(name, error) if answer is None else Prediction(name, None, self._top(answer))

    def warm_up(self) -> Predictor:
        """Compute once on every worker's behalf, so that the first image is as quick as the next."""
        side = self.bundle.preprocessing.crop_px or 64
        blank = np.zeros((side, side, self.bundle.preprocessing.channels), dtype=np.uint8)
        self([blank] * (self.plan.workers * self.plan.batch))
        return self

    def _top(self, scores: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        shares = softmax(scores)
        return tuple((self.bundle.classes[i], float(shares[i])) for i in likeliest(shares, self.top))


def predictor(
    source: str | Path | Bundle,
    *,
    engine: str = "auto",
    precision: str = "auto",
    top: int = 5,
    threads: int | None = None,
    purpose: str = "throughput",
    exact_decode: bool = False,
) -> Predictor:
    """A Predictor for a bundle or run; torch is not imported.

    `engine` auto, openvino or onnxruntime; `precision` auto, fp32, bf16 or int8 (auto: the fastest that was proven by
    an export, see plusx export; else fp32); `purpose` throughput or latency; `exact_decode` switches scaled JPEG
    decoding off. Raises BundleError, SpecError, MissingExtra, DataError.
    """
    made = unwarmed(
        source, engine=engine, precision=precision, top=top, threads=threads, purpose=purpose, exact_decode=exact_decode
    )
    return made.warm_up()


def unwarmed(
    source: str | Path | Bundle,
    *,
    engine: str,
    precision: str,
    top: int,
    threads: int | None,
    purpose: str,
    exact_decode: bool,
    count: int | None = None,
) -> Predictor:
    """`predictor` without its first computation; `count` images, if so few, get all cores between them."""
    if top < 1:
        raise DataError(f"top={top}, must be at least 1")
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    if not bundle.classes:
        raise DataError(f"{bundle.path} has no classes to name; plusx embed gives its features")
    plan = choose(bundle, engine, precision, purpose=purpose, threads=threads)
    if count is not None and count < plan.workers * plan.batch:
        plan = replace(plan, workers=max(1, min(plan.workers, count)), batch=1)
    pipeline = Pipeline(open_engine(bundle, plan), bundle.preprocessing, exact_decode=exact_decode)
    return Predictor(bundle, pipeline, min(top, len(bundle.classes)))


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shares of 1 along the last axis, in float64."""
    shifted = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def likeliest(shares: NDArray[np.float64], k: int) -> Sequence[int]:
    """Indices of the k largest, largest first; between equals the earlier.

    >>> likeliest(np.array([0.2, 0.4, 0.4]), 2)
    [1, 2]
    """
    return [int(i) for i in np.argsort(-shares, kind="stable")[:k]]


def _items(images: Iterable[Image]) -> Iterator[Item]:
    for i, image in enumerate(images):
        if isinstance(image, str | Path):
            yield Item(str(image), Path(image))
        elif isinstance(image, bytes | np.ndarray):
            yield Item(f"#{i}", image)
        else:
            yield Item(f"#{i}", None, f"a {type(image).__name__} is no image; give a path, bytes or a uint8 array")
