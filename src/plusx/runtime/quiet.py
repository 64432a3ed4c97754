"""The engines, imported late and silent: no telemetry, one line when one is missing."""

from __future__ import annotations

import os
import sys
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


def openvino() -> ModuleType:
    """The openvino module. Raises MissingExtra."""
    silence()
    try:
        import openvino as module
    except ImportError as error:
        raise missing("openvino", "cpu", error) from error
    return module


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
    why = "is not installed" if error is None or getattr(error, "name", None) == name else f"does not load ({error})"
    return MissingExtra(f"{name} {why}; pip install 'plusx[{extra}]'")
