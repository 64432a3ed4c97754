"""Class probabilities of images, computed by any engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle, open_bundle
from plusx.errors import DataError
from plusx.i18n import _
from plusx.runtime.engines import AUTO, ENGINES, EngineOptions, open_engine
from plusx.runtime.inputs import ImageSource, Item
from plusx.runtime.pipeline import Pipeline
from plusx.runtime.planning import choose_plan

ImageLike = str | ImageSource


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest classes of one image with their probabilities, largest first; or why there are none."""

    path: str
    error: str | None
    top: tuple[tuple[str, float], ...] = ()

    def above(self, threshold: float) -> Prediction:
        """The same without the classes of a smaller probability."""
        return replace(self, top=tuple(pair for pair in self.top if pair[1] >= threshold))


class Predictor:
    """A network ready to classify images: `predictor(["a.jpg", "b.png"])`. Made by `plusx.predictor`."""

    def __init__(self, bundle: Bundle, pipeline: Pipeline, top: int) -> None:
        self.bundle, self.pipeline, self.top = bundle, pipeline, top
        self.plan = pipeline.engine.plan

    def __call__(self, images: ImageLike | Iterable[ImageLike]) -> list[Prediction]:
        """One Prediction an image, in order: a path, the bytes of a file, or a uint8 array (h, w, c)."""
        one = isinstance(images, str | Path | bytes | np.ndarray)
        return list(self.stream(_items([images] if one else images)))  # type: ignore[list-item]

    def stream(self, items: Iterable[Item]) -> Iterator[Prediction]:
        """As a call, for items as they come and with bounded memory: see `plusx.runtime.find_images`."""
        for name, error, logits in self.pipeline.run(items):
            yield Prediction(name, error) if logits is None else Prediction(name, None, self._top(logits))

    def warm_up(self) -> Predictor:
        """Itself, after every worker has computed once, so that the first image takes no longer than the others."""
        side = self.bundle.preprocessing.crop_px or 64
        blank = np.zeros((side, side, self.bundle.preprocessing.channels), dtype=np.uint8)
        self([blank] * (self.plan.workers * self.plan.batch))
        return self

    def _top(self, logits: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
        probabilities = softmax(logits)
        return tuple((self.bundle.classes[i], float(probabilities[i])) for i in top_indices(probabilities, self.top))


def open_predictor(
    source: str | Path | Bundle,
    options: EngineOptions = AUTO,
    *,
    top: int = 5,
    exact_decode: bool = False,
    count: int | None = None,
) -> Predictor:
    """A Predictor that has not computed yet, for a bundle or run; torch is imported only where it computes.

    `exact_decode` switches scaled JPEG decoding off. Of only `count` images each worker takes some, one at a time.
    Raises BundleError, SpecError, MissingExtra, DataError.
    """
    if top < 1:
        raise DataError(_("top={top} names no class. Write 1 or more.", top=top))
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    if not bundle.classes:
        raise DataError(_("{path} has no classes to predict. plusx embed gives its feature vectors.", path=bundle.path))
    plan = choose_plan(bundle, options)
    if count is not None and count < plan.workers * plan.batch and not ENGINES[plan.engine].own_threads:
        plan = replace(plan, workers=max(1, min(plan.workers, count)), batch=1)
    pipeline = Pipeline(open_engine(bundle, plan), bundle.preprocessing, exact_decode=exact_decode)
    return Predictor(bundle, pipeline, min(top, len(bundle.classes)))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def top_indices(probabilities: NDArray[np.float64], k: int) -> Sequence[int]:
    """Indices of the k largest, largest first; between equals the earlier.

    >>> top_indices(np.array([0.2, 0.4, 0.4]), 2)
    [1, 2]
    """
    return [int(i) for i in np.argsort(-probabilities, kind="stable")[:k]]


def _items(images: Iterable[ImageLike]) -> Iterator[Item]:
    for i, image in enumerate(images):
        if isinstance(image, str | Path):
            yield Item(str(image), Path(image))
        elif isinstance(image, bytes | np.ndarray):
            yield Item(f"#{i}", image)
        else:
            kind = type(image).__name__
            yield Item(f"#{i}", None, _("{kind} is not an image. Give a path, bytes or a uint8 array.", kind=kind))
