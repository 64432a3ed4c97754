"""ONNX: model.onnx, exported by torch, for ONNX Runtime and everything else that reads it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plusx.deploy import quantise
from plusx.deploy.config import ExportSource
from plusx.deploy.proof import LogitsFunction
from plusx.deploy.proof_images import ProofImages
from plusx.deploy.reference import PreprocessedNetwork, folded
from plusx.deploy.to_torch import dynamic_axes, example
from plusx.files import json_text
from plusx.nn.engine import bundle_network
from plusx.runtime.lowering import output_name
from plusx.runtime.quiet import missing, onnxruntime

MODEL = "model.onnx"


def write(source: ExportSource, folder: Path, calibration: ProofImages | None) -> None:
    model = exported(source)
    if calibration is not None:
        model = quantise.quantised_onnx(model, calibration)
    _onnx().save(model, folder / MODEL)


def write_mixed(
    source: ExportSource, folder: Path, calibration: ProofImages, real: ProofImages, accept_drop: float
) -> None:
    _onnx().save(quantise.with_accuracy_control_onnx(exported(source), calibration, real, accept_drop), folder / MODEL)


def exported(source: ExportSource) -> Any:
    """The onnx.ModelProto: uint8 "images" to logits, features or a map (`output_name`), with any batch size."""
    _onnx()
    network = PreprocessedNetwork(folded(bundle_network(source.bundle)), source.bundle.preprocessing).eval()
    output = output_name(source.bundle.spec)
    names: dict[str, Any] = {"input_names": ["images"], "output_names": [output]}
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example(source),),
                dynamo=True,
                dynamic_shapes={"images": dynamic_axes(source)},
                verbose=False,
                **names,
            )
    except ImportError as error:
        raise missing("onnxscript", error) from error
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return program.model_proto


def read(folder: Path, precision: str) -> LogitsFunction:
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
        {"labels": json_text(about["classes"]), "plusx": json_text(about)},
    )
    model.producer_name, model.producer_version = "plusx", about["made_by"]["plusx"]
    onnx.save(model, folder / MODEL)


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise missing("onnx", error) from error
    return onnx


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter prints its steps on stdout and warns of deprecations, which users of plusx cannot act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
