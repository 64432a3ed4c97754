"""What every engine is to the pipeline: images in, answers out, from several threads at once."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle
from plusx.errors import SpecError
from plusx.graph import Graph, lower
from plusx.runtime.plan import Plan


class Engine(Protocol):
    """A compiled network. `infer` may be called by `plan.workers` threads at a time."""

    plan: Plan

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answers (n, …) to uint8 images (n, h, w, c); n ≤ plan.batch."""
        ...


def open_engine(bundle: Bundle, plan: Plan, graph: Graph | None = None) -> Engine:
    """The engine of a plan, its network compiled. `graph` is another network for the bundle's weights, as a cut one.

    Raises MissingExtra, BundleError, SpecError.
    """
    graph = graph or lower(bundle.spec)
    if plan.engine == "openvino":
        from plusx.runtime.with_openvino import OpenVINO

        return OpenVINO(bundle, plan, graph)
    if plan.engine == "onnxruntime":
        from plusx.runtime.with_onnxruntime import ONNXRuntime

        return ONNXRuntime(bundle, plan)
    raise SpecError(f"engine={plan.engine}, is not one of runtime's; allowed: openvino, onnxruntime")


def padded(images: NDArray[np.uint8], batch: int) -> NDArray[np.uint8]:
    """The images filled up to a whole batch with the last one: an engine compiled for one size computes one way."""
    missing = batch - len(images)
    return images if missing <= 0 else np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
