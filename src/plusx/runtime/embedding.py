"""Feature vectors of images: the maps of a network, optionally cut, averaged over each image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle, open_bundle
from plusx.errors import SpecError
from plusx.graph import Graph, lower
from plusx.i18n import _
from plusx.runtime.engines import AUTO, EngineOptions, open_engine
from plusx.runtime.inputs import Item
from plusx.runtime.pipeline import Pipeline
from plusx.runtime.planning import choose_plan
from plusx.specs import ResNetSpec


@dataclass(frozen=True)
class Embedding:
    """float32 (channels,) of one image, or why there is none."""

    path: str
    error: str | None
    vector: NDArray[np.float32] | None


class Embedder:
    """Feature vectors of images; `width` is their length. Made by `embedder`."""

    def __init__(self, pipeline: Pipeline, width: int) -> None:
        self.pipeline, self.width = pipeline, width
        self.plan = pipeline.engine.plan

    def stream(self, items: Iterable[Item]) -> Iterator[Embedding]:
        for name, error, output in self.pipeline.run(items):
            yield Embedding(name, error, None if output is None else pooled(output))


def embedder(
    source: str | Path | Bundle,
    at: str | None = None,
    options: EngineOptions = AUTO,
    *,
    exact_decode: bool = False,
) -> Embedder:
    """An Embedder for a bundle or run; `at` is a stage or block like layer4 or layer3.2.

    `at` None gives the input of the classifier: the last map after its norm, averaged. Raises SpecError for a name that
    the network lacks or for int8 (its layers are fused), BundleError, MissingExtra.
    """
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    if options.precision == "int8":
        raise SpecError(_("An int8 network is fused and cannot be cut. Write --precision fp32 or bf16."))
    graph = cut_graph(bundle.spec, at)
    engine = open_engine(bundle, choose_plan(bundle, options, cut=True), graph)
    return Embedder(Pipeline(engine, bundle.preprocessing, exact_decode=exact_decode), graph.c_out)


def cut_graph(spec: ResNetSpec, at: str | None) -> Graph:
    """The graph whose output gives the vectors. Raises SpecError."""
    if at is not None:
        return lower(spec.replace(head_dropout=0.0, until=at))
    return lower(spec if spec.until is not None else spec.replace(head_dropout=0.0, classes=0))


def pooled(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map (c, h, w) averaged over its cells, in float64; a vector (c,) as it is."""
    return output if output.ndim == 1 else output.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
