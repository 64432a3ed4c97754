"""ONNX Runtime: the portable engine. Its networks come from `plusx export --to onnx`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle
from plusx.errors import BundleError, SpecError
from plusx.graph import Graph
from plusx.i18n import _
from plusx.runtime.engine import ExecutionPlan, fill_batch
from plusx.runtime.exports import engine_folder, is_proven, not_exported
from plusx.runtime.quiet import onnxruntime


class ONNXRuntimeEngine:
    """A session that `plan.workers` threads call at a time, each with its share of the cores."""

    def __init__(self, bundle: Bundle, plan: ExecutionPlan, graph: Graph | None = None) -> None:
        if graph is not None:
            raise SpecError(
                _("ONNX Runtime computes exported networks only, and no export is cut. Use --engine openvino or torch.")
            )
        if not is_proven(bundle, "onnxruntime", plan.precision):
            raise not_exported(bundle, "onnxruntime", plan.precision)
        self.plan = plan
        ort = onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = max(1, plan.threads // plan.workers)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        name = f"{engine_folder('onnxruntime', plan.precision)}/model.onnx"
        network = bundle.read(name)
        try:
            self._session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base but this
            raise BundleError(
                _(
                    "ONNX Runtime cannot load {file}. Export it again: plusx export {path} --to onnx.",
                    file=bundle.path / name,
                    path=bundle.path,
                )
            ) from error
        self._input = self._session.get_inputs()[0].name

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        filled = np.ascontiguousarray(fill_batch(images, self.plan.batch))
        outputs = self._session.run(None, {self._input: filled})[0]
        return np.asarray(outputs, dtype=np.float32)[: len(images)]
