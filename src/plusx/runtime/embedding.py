"""Feature vectors of images: a network cut where asked, its map averaged over the image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle, open_bundle
from plusx.errors import MissingExtra, SpecError
from plusx.graph import Graph, lower
from plusx.runtime.engine import open_engine
from plusx.runtime.inputs import Item
from plusx.runtime.pipeline import Pipeline
from plusx.runtime.plan import Plan, choose, installed
from plusx.specs import ResNetSpec


@dataclass(frozen=True)
class Embedding:
    """float32 (channels,) of one image, or why there is none."""

    path: str
    error: str | None
    vector: NDArray[np.float32] | None


class Embedder:
    """Vectors of images; `width` is how long they are. Made by `embedder`."""

    def __init__(self, pipeline: Pipeline, width: int) -> None:
        self.pipeline, self.width = pipeline, width
        self.plan = pipeline.engine.plan

    def stream(self, items: Iterable[Item]) -> Iterator[Embedding]:
        for name, error, answer in self.pipeline.run(items):
            yield Embedding(name, error, None if answer is None else pooled(answer))


def embedder(
    source: str | Path | Bundle,
    at: str | None = None,
    *,
    precision: str = "auto",
    threads: int | None = None,
    exact_decode: bool = False,
) -> Embedder:
    """An Embedder for a bundle or run, computed by OpenVINO; `at` is a place like layer4 or layer3.2.

    `at` None gives what the head sees: the last map behind its norm, averaged. Raises SpecError for a place that the
    network lacks or for int8 (its layers are fused), BundleError, MissingExtra.
    """
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    if precision == "int8":
        raise SpecError("precision=int8, its network cannot be cut any more; allowed here: fp32, bf16")
    if not installed("openvino"):
        raise MissingExtra("openvino is not installed; pip install 'plusx[cpu]'")
    graph = cut_graph(bundle.spec, at)
    plan = plan_for(bundle, precision, threads)
    pipeline = Pipeline(open_engine(bundle, plan, graph), bundle.preprocessing, exact_decode=exact_decode)
    return Embedder(pipeline, graph.c_out)


def cut_graph(spec: ResNetSpec, at: str | None) -> Graph:
    """The graph of what gives the vectors. Raises SpecError."""
    if at is not None:
        return lower(spec.replace(head_dropout=0.0, until=at))
    return lower(spec if spec.until is not None else spec.replace(head_dropout=0.0, classes=0))


def plan_for(bundle: Bundle, precision: str, threads: int | None) -> Plan:
    plan = choose(bundle, "openvino", precision, threads=threads)
    return plan if plan.precision != "int8" else replace(plan, precision="fp32")


def pooled(answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map (c, h, w) averaged over its cells, in float64; a vector (c,) as it is."""
    return answer if answer.ndim == 1 else answer.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
