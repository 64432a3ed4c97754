"""OpenVINO IR: model.xml and model.bin, lowered from the graph, not traced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plusx.deploy import quantise
from plusx.deploy.config import ExportSource
from plusx.deploy.proof import LogitsFunction
from plusx.deploy.proof_images import ProofImages
from plusx.files import json_text
from plusx.graph import lower
from plusx.runtime.lowering import lower_to_openvino
from plusx.runtime.preparing import fold_preprocessing
from plusx.runtime.quiet import openvino

MODEL = "model.xml"


def write(source: ExportSource, folder: Path, calibration: ProofImages | None) -> None:
    """Write the network. bf16 has the same files as fp32; int8 is quantised before the preprocessing is folded in."""
    model = float_model(source)
    if calibration is not None:
        model = quantise.quantised(model, calibration, source.bundle.preprocessing)
    _save(fold_preprocessing(model, source.bundle.preprocessing), folder)


def write_mixed(
    source: ExportSource, folder: Path, calibration: ProofImages, real: ProofImages, accept_drop: float
) -> None:
    model = quantise.with_accuracy_control(
        float_model(source), calibration, real, source.bundle.preprocessing, accept_drop
    )
    _save(fold_preprocessing(model, source.bundle.preprocessing), folder)


def float_model(source: ExportSource) -> Any:
    """The network in float32, (?, c, h, w), norms folded."""
    return lower_to_openvino(lower(source.bundle.spec), source.bundle.weights(), source.size)


def read(folder: Path, precision: str) -> LogitsFunction:
    """The network that the files hold, compiled in its precision."""
    ov = openvino()
    # without a hint OpenVINO computes in bf16 where the processor can, and the proof would be of bf16
    settings = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
    compiled = ov.Core().compile_model(str(folder / MODEL), "CPU", settings)

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array(compiled([np.ascontiguousarray(images)])[0])

    return run


def describe(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the labels where OpenVINO's Model API and Model Server read them, everything else as JSON under plusx."""
    model = openvino().Core().read_model(folder / MODEL)
    labels = [name.replace(" ", "_") for name in about["classes"]]  # the list is separated by spaces
    model.set_rt_info("Classification", ["model_info", "model_type"])
    model.set_rt_info(labels, ["model_info", "labels"])
    model.set_rt_info(json_text(about), ["plusx", "about"])
    model.set_rt_info("bf16" if about["precision"] == "bf16" else "f32", ["plusx", "INFERENCE_PRECISION_HINT"])
    _save(model, folder)


def _save(model: Any, folder: Path) -> None:
    """Save to another folder first, because the file that a model was read from is still mapped into memory."""
    aside = folder / "new"
    aside.mkdir()
    # the default rounds weights to fp16
    openvino().save_model(model, str(aside / MODEL), compress_to_fp16=False)
    for path in aside.iterdir():
        path.replace(folder / path.name)
    aside.rmdir()
