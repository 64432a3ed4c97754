"""int8 by NNCF: ranges from real images, corrected biases and, on request, the worst layers in float."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.deploy.proof_images import ProofImages
from plusx.images import Preprocessing, normalise
from plusx.runtime.quiet import missing, onnxruntime, openvino, silence


def quantised(model: Any, calibration: ProofImages, pre: Preprocessing) -> Any:
    """An openvino.Model (?, c, h, w) with its convolutions in int8, calibrated on the images. Raises MissingExtra."""
    with _quiet():
        return _nncf().quantize(model, _dataset(calibration, lambda p: normalise(p, pre)), subset_size=len(calibration))


def quantised_onnx(model: Any, calibration: ProofImages) -> Any:
    """An onnx.ModelProto that takes uint8 images, with its convolutions in int8. Raises MissingExtra."""
    with _quiet():
        return _nncf().quantize(model, _dataset(calibration, lambda p: {"images": p}), subset_size=len(calibration))


def with_accuracy_control(
    model: Any, calibration: ProofImages, real: ProofImages, pre: Preprocessing, max_drop: float
) -> Any:
    """As `quantised`, but layers go back to float until top-1 on `real` is within `max_drop` (relative) of float's."""

    def infer(compiled: Any, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return compiled([normalise(image, pre)])[0]

    return _controlled(model, calibration, real, lambda p: normalise(p, pre), infer, max_drop)


def with_accuracy_control_onnx(model: Any, calibration: ProofImages, real: ProofImages, max_drop: float) -> Any:
    """The same for an onnx.ModelProto that takes uint8 images."""
    ort, sessions = onnxruntime(), {}

    def infer(candidate: Any, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        if id(candidate) not in sessions:
            sessions.clear()
            options = ort.SessionOptions()
            options.log_severity_level = 3
            raw = candidate.SerializeToString()
            sessions[id(candidate)] = ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
        return sessions[id(candidate)].run(None, {"images": image})[0]

    return _controlled(model, calibration, real, lambda p: {"images": p}, infer, max_drop)


def _controlled(
    model: Any, calibration: ProofImages, real: ProofImages, prepare: Callable[[NDArray[np.uint8]], Any],
    infer: Callable[[Any, NDArray[np.uint8]], NDArray[np.float32]], max_drop: float,
) -> Any:  # fmt: skip
    nncf, labels = _nncf(), real.labels
    if labels is None:
        raise ValueError("accuracy control needs labels")

    def top1(candidate: Any, indices: Iterable[int]) -> tuple[float, list[float]]:
        """NNCF passes the data before preparation, which are indices."""
        asked = [int(i) for i in indices]
        hits = [float(infer(candidate, real.pixels[i : i + 1]).argmax() == labels[i]) for i in asked]
        return float(np.mean(hits)), hits

    with _quiet():
        return nncf.quantize_with_accuracy_control(
            model, _dataset(calibration, prepare), _dataset(real, prepare), top1,
            max_drop=max_drop, drop_type=nncf.DropType.RELATIVE, subset_size=len(calibration),
        )  # fmt: skip


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """NNCF draws progress bars on stdout, which is for results. They go to stderr if that is a terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(sys.stderr if sys.stderr.isatty() else io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _dataset(images: ProofImages, prepare: Callable[[NDArray[np.uint8]], Any]) -> Any:
    """An nncf.Dataset of single images, prepared when they are needed, so that memory holds one."""
    return _nncf().Dataset(range(len(images)), lambda i: prepare(images.pixels[i : i + 1]))


def _nncf() -> ModuleType:
    openvino()
    silence()
    logging.getLogger("nncf").setLevel(logging.ERROR)
    try:
        import nncf
    except ImportError as error:
        raise missing("nncf", error) from error
    nncf.set_log_level(logging.ERROR)
    return nncf
