"""ONNX files made by the peers themselves: torch's two exporters, and onnx's own helpers for what torch does not write."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


def exported(net: nn.Module, path: Path, size: int = 64, *, dynamo: bool = False, **options: object) -> Path:
    """The file that torch writes for a network in eval mode."""
    channels = next(net.parameters()).shape[1]
    chatter = io.StringIO()
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter):
            warnings.simplefilter("ignore")
            torch.onnx.export(net.eval(), (torch.zeros(1, channels, size, size),), str(path), dynamo=dynamo, **options)
    finally:
        logging.disable(level)
    return path


def model(nodes: list, initializers: list, shape: list, output: list | None = None) -> onnx.ModelProto:
    """A model with one input `x` and one output `y`."""
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)], initializers,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def constant(name: str, value: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def answer(path: Path, x: np.ndarray) -> np.ndarray:
    """What onnxruntime computes, without its own rewriting of graphs."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]
