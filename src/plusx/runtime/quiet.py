"""The engines, imported late and silent: no telemetry, one line when one is missing."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from types import ModuleType
from typing import Any

from plusx.errors import MissingExtra


def silence() -> None:
    """Keep openvino, nncf and onnxruntime from reporting to their makers. Must run before they are imported.

    openvino and nncf look for the package openvino_telemetry and go on without it (their own stubs); None in
    sys.modules makes it absent in this process. onnxruntime reads ORT_TELEMETRY_DISABLED.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    os.environ.setdefault("ORT_TELEMETRY_DISABLED", "1")


_FIRST = threading.Lock()


def openvino() -> ModuleType:
    """The openvino module. Raises MissingExtra."""
    silence()
    try:
        import openvino as module
    except ImportError as error:
        raise missing("openvino", "cpu", error) from error
    with _FIRST:
        _settle()
    return module


@cache
def _settle() -> None:
    """Have OpenVINO's tables of types made by one thread.

    Its binding makes them when they are first used, in code that may let another thread in (2026.4, Type.to_dtype). Two
    threads that infer for the first time at once then wait for each other for ever: one in 60 processes here.
    """
    import numpy as np
    import openvino as module

    module.Type.u8.to_dtype()
    module.Type(np.uint8)
    _ = module.Tensor(np.zeros(1, np.uint8)).data


def opset() -> Any:
    """The operators that networks are lowered to: opset 14 is the first whose pools round up as torch's."""
    openvino()
    from openvino import opset14

    return opset14


def onnxruntime() -> ModuleType:
    """The onnxruntime module. Raises MissingExtra."""
    silence()
    try:
        import onnxruntime as module
    except ImportError as error:
        raise missing("onnxruntime", "export", error) from error
    return module


def missing(name: str, extra: str, error: ImportError | None = None) -> MissingExtra:
    """The one line for an engine that is not there, or does not load."""
    if error is None or getattr(error, "name", None) == name:
        return MissingExtra(f"{name} is not installed; pip install 'plusx[{extra}]'")
    return MissingExtra(
        f"{name} is installed but does not load here; pip install --force-reinstall {name}, or run with --debug to see why"
    )
