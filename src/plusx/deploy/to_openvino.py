"""OpenVINO IR: model.xml and model.bin, lowered from the graph, not traced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plusx.deploy import quantise
from plusx.deploy.proof_images import Images
from plusx.graph import lower
from plusx.runtime.lowering import network
from plusx.runtime.preparing import fold_preprocessing
from plusx.runtime.quiet import openvino

if TYPE_CHECKING:
    from plusx.deploy.proof import Network
    from plusx.deploy.targets import Source

MODEL = "model.xml"


def write(source: Source, folder: Path, calibration: Images | None) -> None:
    """bf16 is the same file as fp32, computed otherwise; int8 is quantised before the preprocessing is folded in."""
    model = float_model(source)
    if calibration is not None:
        model = quantise.quantised(model, calibration, source.bundle.preprocessing)
    _save(fold_preprocessing(model, source.bundle.preprocessing), folder)


def rescue(source: Source, folder: Path, calibration: Images, real: Images, accept_drop: float) -> None:
    model = quantise.with_accuracy_control(
        float_model(source), calibration, real, source.bundle.preprocessing, accept_drop
    )
    _save(fold_preprocessing(model, source.bundle.preprocessing), folder)


def float_model(source: Source) -> Any:
    """The network in float32, (?, c, h, w), norms folded."""
    return network(lower(source.bundle.spec), source.bundle.weights(), source.size)


def read(folder: Path, precision: str) -> Network:
    """The network that the files hold, compiled in its precision."""
    ov = openvino()
    # OpenVINO computes in bf16 by itself where the processor can: fp32 is said, or the proof would be of something else
    settings = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
    compiled = ov.Core().compile_model(str(folder / MODEL), "CPU", settings)

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array(compiled([np.ascontiguousarray(images)])[0])

    return run


def describe(folder: Path, about: Mapping[str, Any]) -> None:
    """Labels where OpenVINO's Model API and Model Server look for them, everything else as JSON under plusx."""
    model = openvino().Core().read_model(folder / MODEL)
    labels = [name.replace(" ", "_") for name in about["classes"]]  # that list is separated by spaces
    model.set_rt_info("Classification", ["model_info", "model_type"])
    model.set_rt_info(labels, ["model_info", "labels"])
    model.set_rt_info(json.dumps(about, ensure_ascii=False), ["plusx", "about"])
    model.set_rt_info("bf16" if about["precision"] == "bf16" else "f32", ["plusx", "INFERENCE_PRECISION_HINT"])
    _save(model, folder)


def _save(model: Any, folder: Path) -> None:
    """Saved aside first: the file that a model was read from is still mapped into memory."""
    aside = folder / "new"
    aside.mkdir()
    # its default would round weights to fp16
    openvino().save_model(model, str(aside / MODEL), compress_to_fp16=False)
    for path in aside.iterdir():
        path.replace(folder / path.name)
    aside.rmdir()
