"""OpenVINO: the fast engine on x86 and Arm processors."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle
from plusx.errors import BundleError, DataError, RunError
from plusx.graph import Graph
from plusx.runtime import cache, processor
from plusx.runtime.engine import padded
from plusx.runtime.lowering import network
from plusx.runtime.plan import Plan, engine_folder, proven
from plusx.runtime.preparing import fold_preprocessing
from plusx.runtime.quiet import openvino


class OpenVINO:
    """A network compiled for `plan.workers` requests at a time, `plan.threads` cores in all; kept in the cache."""

    def __init__(self, bundle: Bundle, plan: Plan, graph: Graph) -> None:
        self.plan = plan
        ov = openvino()
        core, settings = ov.Core(), configuration(plan)
        # a pickled plan of computation is only good for the very library and processor that made it
        about = {
            "openvino": ov.get_version(), "processor": processor.key(), "settings": settings, "batch": plan.batch,
            "network": graph.spec.to_dict(), "weights": source_hash(bundle, plan), "pre": bundle.preprocessing.to_dict(),
        }  # fmt: skip
        key = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
        self._compiled = _from_cache(core, key, settings)
        if self._compiled is None:
            model = source_model(core, bundle, plan, graph)
            fix_batch(model, plan.batch)
            self._compiled = core.compile_model(model, "CPU", settings)
            cache.keep(key, self._compiled.export_model().getbuffer())
        self._static = self._compiled.input().get_partial_shape().is_static
        self._mine = threading.local()

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = getattr(self._mine, "request", None)
        if request is None:
            request = self._mine.request = self._compiled.create_infer_request()
        try:
            if self._static:
                self._fill(request, images)
                request.infer()
            else:
                request.infer([np.ascontiguousarray(padded(images, self.plan.batch))], share_inputs=True)
        except RuntimeError as error:
            raise RunError(
                f"OpenVINO failed while it computed {len(images)} images. Try --engine torch; --debug shows what it said."
            ) from error
        return np.array(request.get_output_tensor().data[: len(images)], dtype=np.float32)

    def _fill(self, request: Any, images: NDArray[np.uint8]) -> None:
        """Into the request's own memory: handing over another array each time costs 3 % of a ResNet-50 in int8.

        What is left of the batch holds the last image, as `padded` does it.
        """
        given = getattr(self._mine, "given", None)
        if given is None:
            given = self._mine.given = request.get_input_tensor().data
        if images.shape[1:] != given.shape[1:]:
            raise DataError(f"images are {images.shape[1:]}; the network takes {given.shape[1:]}")
        given[: len(images)] = images
        given[len(images) :] = images[-1:]


def configuration(plan: Plan) -> dict[str, Any]:
    """OpenVINO's settings for a plan. Pinning is off: a worker's decoding and its stream take turns on whatever is free."""
    return {
        "NUM_STREAMS": plan.workers,
        "INFERENCE_NUM_THREADS": plan.threads,
        "ENABLE_CPU_PINNING": False,
        # OpenVINO computes in bf16 by itself where it can; here a precision is what it says
        "INFERENCE_PRECISION_HINT": "bf16" if plan.precision == "bf16" else "f32",
    }


def source_hash(bundle: Bundle, plan: Plan) -> str:
    """The sha256, checked when the bundle was opened, of the file that the network is made from."""
    name = f"{engine_folder('openvino', 'int8')}/model.bin" if plan.precision == "int8" else "weights.safetensors"
    if name not in bundle.files:
        raise not_exported(bundle, "openvino", plan.precision)
    return bundle.files[name]["sha256"]


def source_model(core: Any, bundle: Bundle, plan: Plan, graph: Graph) -> Any:
    """The openvino.Model of a plan, preprocessing inside: lowered from the weights, or read where it was quantised."""
    if plan.precision == "int8":
        return core.read_model(bundle.path / engine_folder("openvino", "int8") / "model.xml")
    side = bundle.preprocessing.crop_px
    model = network(graph, bundle.weights(), None if side is None else (side, side))
    return fold_preprocessing(model, bundle.preprocessing)


def fix_batch(model: Any, batch: int) -> None:
    """Set the batch; height and width stay as they are."""
    shape = model.input().get_partial_shape()
    shape[0] = batch
    model.reshape(shape)


def not_exported(bundle: Bundle, engine: str, precision: str) -> BundleError:
    target = "onnx" if engine == "onnxruntime" else engine
    have = [p for p in ("fp32", "bf16", "int8") if proven(bundle, engine, p)]
    return BundleError(
        f"{bundle.path} has no {precision} network for {engine} (it has: {', '.join(have) or 'none'}); "
        f"plusx export {bundle.path} --to {target} --precision {precision} makes and proves one"
    )


_MAPPED: list[NDArray[np.uint8]] = []
"""Kept networks that were opened. OpenVINO reads on in the mapping when a stream first computes, and does not hold it."""


def _from_cache(core: Any, key: str, settings: dict[str, Any]) -> Any:
    raw = cache.find(key)
    if raw is None:
        return None
    try:
        compiled = core.import_model(openvino().Tensor(raw, shared_memory=True), "CPU", settings)
    except RuntimeError:  # another build's; it is compiled anew and replaced
        return None
    _MAPPED.append(raw)
    return compiled
