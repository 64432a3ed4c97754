"""OpenVINO: the fast engine on x86 and Arm processors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle
from plusx.bundles.bundle import WEIGHTS
from plusx.errors import DataError, PlusxError, RunError
from plusx.graph import Graph, lower
from plusx.i18n import _
from plusx.runtime import cache, processor
from plusx.runtime.engine import ExecutionPlan, fill_batch
from plusx.runtime.exports import engine_folder, is_proven, not_exported, not_usable
from plusx.runtime.lowering import lower_to_openvino
from plusx.runtime.preparing import fold_preprocessing
from plusx.runtime.quiet import openvino
from plusx.version import __version__


class OpenVINOEngine:
    """A network compiled for `plan.workers` requests at a time, `plan.threads` cores in all, and cached."""

    def __init__(self, bundle: Bundle, plan: ExecutionPlan, graph: Graph | None = None) -> None:
        self.plan = plan
        graph = graph or lower(bundle.spec)
        ov = openvino()
        core, settings = ov.Core(), configuration(plan)
        # a compiled network is only valid for the version and the processor that compiled it
        about = {
            "plusx": __version__, "openvino": ov.get_version(), "processor": processor.key(), "settings": settings,
            "batch": plan.batch, "network": graph.spec.to_dict(), "ops": [op.name for op in graph.ops], "source": source_hashes(bundle, plan),
            "pre": bundle.preprocessing.to_dict(),
        }  # fmt: skip
        key = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
        self._compiled, mapped = _from_cache(core, key, settings)
        if self._compiled is None:
            with _reading(bundle, plan):
                model = source_model(core, bundle, plan, graph)
                fix_batch(model, plan.batch)
                self._compiled = core.compile_model(model, "CPU", settings)
            cache.store(key, self._compiled.export_model().getbuffer())
        self._static = self._compiled.input().get_partial_shape().is_static
        self._local = threading.local()
        self._mapped = mapped  # after what reads it, so that it is freed last
        """The mapped file of a cached network. OpenVINO still reads it when a stream first computes, but holds no reference."""

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        try:
            if self._static:
                self._fill(request, images)
                request.infer()
            else:
                request.infer([np.ascontiguousarray(fill_batch(images, self.plan.batch))], share_inputs=True)
        except RuntimeError as error:
            raise RunError(
                _(
                    "OpenVINO failed while it computed {n} images. Try --engine torch; --debug shows its own message.",
                    n=len(images),
                )
            ) from error
        return np.array(request.get_output_tensor().data[: len(images)], dtype=np.float32)

    def _fill(self, request: Any, images: NDArray[np.uint8]) -> None:
        """Copy into the request's own memory: passing another array each time costs 3 % of a ResNet-50 in int8.

        The rest of the batch is filled with the last image, as `fill_batch` does it.
        """
        held = getattr(self._local, "held", None)
        if held is None:
            held = self._local.held = request.get_input_tensor().data
        if images.shape[1:] != held.shape[1:]:
            raise DataError(
                _(
                    "Images of shape {found} do not fit the network, which takes {wanted}. Resize them first.",
                    found=images.shape[1:], wanted=held.shape[1:],
                )
            )  # fmt: skip
        held[: len(images)] = images
        held[len(images) :] = images[-1:]


def configuration(plan: ExecutionPlan) -> dict[str, Any]:
    """OpenVINO's settings for a plan. Pinning is off, since decoding and computing take turns on the same cores."""
    return {
        "NUM_STREAMS": plan.workers,
        "INFERENCE_NUM_THREADS": plan.threads,
        "ENABLE_CPU_PINNING": False,
        # without a hint OpenVINO computes in bf16 wherever the processor can
        "INFERENCE_PRECISION_HINT": "bf16" if plan.precision == "bf16" else "f32",
    }


def source_hashes(bundle: Bundle, plan: ExecutionPlan) -> dict[str, str]:
    """The sha256, checked when the bundle was opened, of every file that the network is made from."""
    if plan.precision != "int8":
        return {WEIGHTS: bundle.weights_sha256}
    if not is_proven(bundle, "openvino", "int8"):
        raise not_exported(bundle, "openvino", plan.precision)
    return {name: bundle.files[name]["sha256"] for name in int8_files()}


def int8_files() -> tuple[str, str]:
    """The quantised network and its constants, as they stand in a bundle."""
    folder = engine_folder("openvino", "int8")
    return f"{folder}/model.xml", f"{folder}/model.bin"


def source_model(core: Any, bundle: Bundle, plan: ExecutionPlan, graph: Graph) -> Any:
    """The openvino.Model of a plan, preprocessing inside: lowered from the weights, or read where it was quantised."""
    if plan.precision == "int8":
        network, constants = (bundle.read(name) for name in int8_files())
        model = core.read_model(network, constants)
        require_shapes(model, bundle)
        return model
    side = bundle.preprocessing.crop_px
    model = lower_to_openvino(graph, bundle.weights(), None if side is None else (side, side))
    return fold_preprocessing(model, bundle.preprocessing)


@contextlib.contextmanager
def _reading(bundle: Bundle, plan: ExecutionPlan) -> Iterator[None]:
    """What OpenVINO raises for a file that it cannot read, compile or reshape, as BundleError."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        if plan.precision != "int8" or isinstance(error, PlusxError):
            raise
        why = _("OpenVINO cannot read its network")
        raise not_usable(bundle, "openvino", plan.precision, why) from error


def require_shapes(model: Any, bundle: Bundle) -> None:
    """Raises ValueError unless a model takes (n, side, side, channels) in uint8 and gives (n, classes) in float32."""
    pre = bundle.preprocessing
    taken, given = (list(ports[0].get_partial_shape()) for ports in (model.inputs, model.outputs))
    sides = [dimension.get_length() if dimension.is_static else None for dimension in (*taken[1:], *given[1:])]
    wanted = [pre.crop_px, pre.crop_px, pre.channels, bundle.spec.classes]
    kinds = [model.inputs[0].get_element_type().get_type_name(), model.outputs[0].get_element_type().get_type_name()]
    if (len(model.inputs), len(model.outputs), sides, kinds) != (1, 1, wanted, ["u8", "f32"]):
        raise ValueError((sides, wanted, kinds))


def fix_batch(model: Any, batch: int) -> None:
    """Set the batch; height and width stay as they are."""
    shape = model.input().get_partial_shape()
    shape[0] = batch
    model.reshape(shape)


def _from_cache(core: Any, key: str, settings: dict[str, Any]) -> tuple[Any, NDArray[np.uint8] | None]:
    """The compiled network of a key and the memory that it reads; None and None where there is none."""
    raw = cache.load(key)
    if raw is None:
        return None, None
    try:
        compiled = core.import_model(openvino().Tensor(raw, shared_memory=True), "CPU", settings)
    except RuntimeError:  # made by another build: it is compiled again and replaced
        return None, None
    return compiled, raw
