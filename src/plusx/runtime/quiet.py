"""Engines are imported late and without telemetry; a missing one is an error of one line."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from types import ModuleType
from typing import Any

from plusx.errors import MissingExtra
from plusx.errors import missing as not_installed
from plusx.i18n import _


def silence() -> None:
    """Keep openvino, nncf and onnxruntime from reporting to their makers. Must run before they are imported.

    openvino and nncf fall back to their own stubs where the package openvino_telemetry is missing, and None in
    sys.modules makes it missing in this process. onnxruntime reads ORT_TELEMETRY_DISABLED.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    os.environ.setdefault("ORT_TELEMETRY_DISABLED", "1")


_IMPORT_LOCK = threading.Lock()


def openvino() -> ModuleType:
    """The openvino module. Raises MissingExtra."""
    silence()
    try:
        import openvino as module
    except ImportError as error:
        raise missing("openvino", error) from error
    with _IMPORT_LOCK:
        _fill_type_tables()
    return module


@cache
def _fill_type_tables() -> None:
    """Make OpenVINO fill its tables of types in one thread.

    Its binding fills them on first use, in code that may release the GIL (2026.4, Type.to_dtype). Two threads that infer
    for the first time at once can then deadlock: one in 60 processes here.
    """
    import numpy as np
    import openvino as module

    module.Type.u8.to_dtype()
    module.Type(np.uint8)
    _ = module.Tensor(np.zeros(1, np.uint8)).data


def opset() -> Any:
    """The operators that networks are lowered to: opset 14 is the first whose pools round up as torch's do."""
    openvino()
    from openvino import opset14

    return opset14


def onnxruntime() -> ModuleType:
    """The onnxruntime module. Raises MissingExtra."""
    silence()
    try:
        import onnxruntime as module
    except ImportError as error:
        raise missing("onnxruntime", error) from error
    return module


def missing(name: str, error: ImportError | None = None) -> MissingExtra:
    """The error for a library that is not installed, or that does not load."""
    if error is None or error.name == name:
        return not_installed(name)
    return MissingExtra(
        _(
            "{name} is installed but does not load here. Run pip install --force-reinstall {name}, "
            "or use --debug to see the cause.",
            name=name,
        )
    )
