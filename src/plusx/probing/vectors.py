"""The feature vector of every image of a data set, at the pool of a network, computed once and then kept in the cache."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from plusx import settings
from plusx.bundles import Bundle
from plusx.bundles.bundle import WEIGHTS
from plusx.data import Data, Skipped, with_mode
from plusx.data.indexing import index_version
from plusx.errors import DataError, SpecError
from plusx.i18n import Message, _
from plusx.probing.vector_cache import KnownVectors, VectorCache, content_key
from plusx.probing.views import PLAIN, ImageView
from plusx.runtime import processor
from plusx.runtime.embedding import Embedder, cut_graph, embedder, pooled
from plusx.runtime.engine import ExecutionPlan
from plusx.runtime.engines import AUTO, EngineOptions
from plusx.runtime.inputs import Item
from plusx.runtime.pipeline import Pipeline
from plusx.runtime.planning import choose_plan
from plusx.weights.file_bundles import knows_preprocessing

STORED_EVERY = 512
"""Images after which new vectors are written to the cache, so that a kill loses some seconds."""

Progress = Callable[[int, int], None]
"""Images done, images in all."""
Say = Callable[[Message], None]


def never() -> bool:
    return False


def silent(line: Message) -> None:
    pass


@dataclass(frozen=True, eq=False)
class ImageVectors:
    """float32 (n, d) of the n images that can be read; `kept` int64 (n,) are their indices in the data, `labels` int64 (n,)
    their classes, `keys` the hashes of their content. `computed`: how many were not in the cache."""

    values: NDArray[np.float32]
    kept: NDArray[np.int64]
    labels: NDArray[np.int64]
    keys: tuple[bytes, ...]
    skipped: tuple[Skipped, ...] = ()
    computed: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64]) -> ImageVectors:
        """The same vectors with only `rows`, in that order."""
        keys = tuple(self.keys[int(row)] for row in rows)
        return replace(self, values=self.values[rows], kept=self.kept[rows], labels=self.labels[rows], keys=keys)


class VectorMaker:
    """Computes feature vectors with one network. The engine is opened when the first image is not in the cache."""

    def __init__(self, bundle: Bundle, options: EngineOptions = AUTO, *, say: Say = silent) -> None:
        """`options`: precision auto is bf16 where the processor multiplies it natively and OpenVINO computes, else fp32.

        Raises SpecError, DataError or BundleError for a network that gives no vectors, MissingExtra without an engine.
        """
        _require(bundle)
        self.bundle, self.say = bundle, say
        self.graph = cut_graph(bundle.spec, None)
        self.options = _with_precision(bundle, options)
        self.plan: ExecutionPlan = choose_plan(bundle, self.options, cut=True)
        self._embedder: Embedder | None = None

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return self.graph.c_out

    def vectors(
        self,
        data: Data,
        view: ImageView = PLAIN,
        *,
        stopped: Callable[[], bool] = never,
        progress: Progress | None = None,
    ) -> ImageVectors | None:
        """The vectors of `data` in one view; None if `stopped` returned true. What was computed until then is in the cache.

        Images that cannot be read are skipped. Raises DataError where none can be read.
        """
        cache = VectorCache(settings.cache_dir() / "vectors", self._cache_name(data, view), self.width)
        work = _Work(data, self.bundle.preprocessing.mode, cache.load(), stopped, progress)
        fresh: KnownVectors = {}
        try:
            for name, error, output in self._outputs(work.misses(), data, view):
                vector = None if output is None else pooled(output)
                if (key := work.done(name, error, vector)) is not None and vector is not None:
                    fresh[key] = vector
                if len(fresh) >= STORED_EVERY:
                    self._store(cache, fresh)
                    fresh = {}
        finally:
            self._store(cache, fresh)
        return None if work.was_stopped else work.result(self.width)

    def _outputs(
        self, misses: Iterator[Item], data: Data, view: ImageView
    ) -> Iterator[tuple[str, str | None, NDArray[np.float32] | None]]:
        first = next(misses, None)
        if first is None:
            return
        if self._embedder is None:
            self._embedder = embedder(self.bundle, None, self.options)
        engine = self._embedder.pipeline.engine
        pipeline = Pipeline(engine, self.bundle.preprocessing, exact_decode=data.exact, prepare=view)
        yield from pipeline.run(chain([first], misses))

    def _store(self, cache: VectorCache, fresh: KnownVectors) -> None:
        """A full or read-only cache costs time at the next start, and nothing else."""
        try:
            cache.store(fresh)
        except OSError as error:
            self.say(
                _(
                    "feature vectors are not kept, because {folder} cannot be written ({reason})",
                    folder=cache.root, reason=error.strerror or str(error),
                )
            )  # fmt: skip

    def _cache_name(self, data: Data, view: ImageView) -> str:
        """Everything besides the image that a vector depends on, as a folder name."""
        about = {
            "network": self.graph.spec.to_dict(), "weights": self.bundle.files[WEIGHTS]["sha256"], "view": repr(view),
            "preprocessing": self.bundle.preprocessing.to_dict(), "engine": self.plan.engine, "precision": self.plan.precision,
            "device": self.plan.device, "exact": data.exact, "decoders": index_version(),
        }  # fmt: skip
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:24]


class _Work:
    """The images of one pass: those that the cache has, those that are computed, those that are skipped."""

    def __init__(
        self, data: Data, mode: str, known: KnownVectors, stopped: Callable[[], bool], progress: Progress | None
    ) -> None:
        self.data, self.mode, self.known, self.stopped, self.progress = data, mode, known, stopped, progress
        self.rows: dict[int, NDArray[np.float32]] = {}
        self.keys: dict[int, bytes] = {}
        self.skipped: dict[int, Skipped] = {}
        self.waiting: deque[int] = deque()
        self.computed, self.was_stopped = 0, False

    def misses(self) -> Iterator[Item]:
        """Images to compute, read one by one; the bytes that are hashed are the bytes that are decoded."""
        for i in range(len(self.data)):
            if self.stopped():
                self.was_stopped = True
                return
            try:
                content = self._content(i)
            except DataError as error:
                self._skip(i, error.message)
                continue
            self.keys[i] = key = content_key(content)
            if (vector := self.known.get(key)) is not None:
                self.rows[i] = vector
                self._tell()
                continue
            self.waiting.append(i)
            yield Item(self.data.path(i), content)

    def done(self, name: str, error: str | None, vector: NDArray[np.float32] | None) -> bytes | None:
        """Takes the next output, which come in order; the key under which the cache keeps it."""
        i = self.waiting.popleft()
        if vector is None:
            self._skip(i, error or name)
            return None
        self.computed += 1
        self.rows[i] = vector
        self._tell()
        return self.keys[i]

    def result(self, width: int) -> ImageVectors:
        """Raises DataError where no image could be read."""
        kept = np.array(sorted(self.rows), dtype=np.int64)
        skipped = tuple(self.skipped[i] for i in sorted(self.skipped))
        if not len(kept):
            first = skipped[0] if skipped else Skipped("", _("there are no images"))
            raise DataError(
                _("None of {n} images gives a feature vector. The first is {path}: {reason}.",
                  n=len(self.data), path=first.path, reason=first.reason)
            )  # fmt: skip
        values = np.empty((len(kept), width), dtype=np.float32)
        for row, i in enumerate(kept):
            values[row] = self.rows[int(i)]
        keys = tuple(self.keys[int(i)] for i in kept)
        return ImageVectors(values, kept, self.data.labels[kept], keys, skipped, self.computed)

    def _content(self, i: int) -> bytes | NDArray[np.uint8]:
        if self.data.images is not None:
            return with_mode(self.data.images[i], "L" if self.mode == "L" else "RGB")
        return self.data.encoded(i)

    def _skip(self, i: int, reason: Message | str) -> None:
        self.skipped[i] = Skipped(self.data.path(i), reason)
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(len(self.rows) + len(self.skipped), len(self.data))


def _with_precision(bundle: Bundle, options: EngineOptions) -> EngineOptions:
    """The options with bf16 where it is faster and nothing else was asked for; a classifier is fitted to what it computes."""
    if options.precision != "auto":
        return options
    plan = choose_plan(bundle, options, cut=True)
    fast = plan.engine == "openvino" and plan.precision == "fp32" and processor.multiplies_bf16()
    return replace(options, engine=plan.engine, precision="bf16" if fast else plan.precision)


def _require(bundle: Bundle) -> None:
    """Raises SpecError, DataError."""
    spec, pre = bundle.spec, bundle.preprocessing
    if spec.until is not None:
        raise SpecError(
            _(
                "{path} is cut at {until}, so its features are not those that its classifier had. Give the whole network.",
                path=bundle.path, until=spec.until,
            )
        )  # fmt: skip
    if not knows_preprocessing(bundle) or pre.channels != spec.in_channels:
        raise DataError(
            _(
                "The preprocessing of {path} is unknown, and without it its features mean little. Give --preprocessing "
                "with a name or a JSON file.",
                path=bundle.path,
            )
        )
