"""ONNX: model.onnx, exported by torch, for ONNX Runtime and everything else that reads it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.deploy import quantise
from plusx.deploy.proof_images import Images
from plusx.deploy.reference import Served, folded, network_of
from plusx.deploy.to_torch import dynamic_axes, example
from plusx.runtime.lowering import output_name
from plusx.runtime.quiet import missing, onnxruntime

if TYPE_CHECKING:
    from plusx.deploy.proof import Network
    from plusx.deploy.targets import Source

MODEL = "model.onnx"


def write(source: Source, folder: Path, calibration: Images | None) -> None:
    model = exported(source)
    if calibration is not None:
        model = quantise.quantised_onnx(model, calibration)
    _onnx().save(model, folder / MODEL)


def rescue(source: Source, folder: Path, calibration: Images, real: Images, accept_drop: float) -> None:
    _onnx().save(quantise.with_accuracy_control_onnx(exported(source), calibration, real, accept_drop), folder / MODEL)


def exported(source: Source) -> Any:
    """The onnx.ModelProto: uint8 "images" to what the network gives (`output_name`), the batch open."""
    _onnx()
    served = Served(folded(network_of(source.bundle)), source.bundle.preprocessing).eval()
    output = output_name(source.bundle.spec)
    names: dict[str, Any] = {"input_names": ["images"], "output_names": [output]}
    try:
        with _quiet():
            program = torch.onnx.export(
                served,
                (example(source),),
                dynamo=True,
                dynamic_shapes={"images": dynamic_axes(source)},
                verbose=False,
                **names,
            )
    except ImportError as error:
        raise missing("onnxscript", "export", error) from error
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return program.model_proto


def read(folder: Path, precision: str) -> Network:
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {"images": np.ascontiguousarray(images)})[0])

    return run


def describe(folder: Path, about: Mapping[str, Any]) -> None:
    onnx = _onnx()
    model = onnx.load(folder / MODEL)
    onnx.helper.set_model_props(
        model,
        {"labels": json.dumps(about["classes"], ensure_ascii=False), "plusx": json.dumps(about, ensure_ascii=False)},
    )
    model.producer_name, model.producer_version = "plusx", about["made_by"]["plusx"]
    onnx.save(model, folder / MODEL)


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise missing("onnx", "export", error) from error
    return onnx


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter tells its steps on stdout and warns of its own future; neither is for our users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
