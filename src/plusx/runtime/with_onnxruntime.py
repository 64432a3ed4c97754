"""ONNX Runtime: the portable engine. Its networks come from `plusx export --to onnx`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plusx.bundles import Bundle
from plusx.errors import BundleError, SpecError
from plusx.runtime.engine import padded
from plusx.runtime.plan import Plan, engine_folder, proven
from plusx.runtime.quiet import onnxruntime
from plusx.runtime.with_openvino import not_exported


class ONNXRuntime:
    """A session that `plan.workers` threads call at a time, each with its share of the cores."""

    def __init__(self, bundle: Bundle, plan: Plan) -> None:
        if plan.precision == "bf16":
            raise SpecError("precision=bf16, ONNX Runtime has no bf16 convolutions on CPUs; allowed there: fp32, int8")
        if not proven(bundle, "onnxruntime", plan.precision):
            raise not_exported(bundle, "onnxruntime", plan.precision)
        self.plan = plan
        ort = onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = max(1, plan.threads // plan.workers)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = bundle.path / engine_folder("onnxruntime", plan.precision) / "model.onnx"
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base but this
            raise BundleError(
                f"ONNX Runtime cannot load {path}. Export it again: plusx export {bundle.path} --to onnx."
            ) from error
        self._input = self._session.get_inputs()[0].name

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        whole = np.ascontiguousarray(padded(images, self.plan.batch))
        answers = self._session.run(None, {self._input: whole})[0]
        return np.asarray(answers, dtype=np.float32)[: len(images)]
